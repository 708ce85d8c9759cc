//! Operators with integers at both ends.

use super::*;

/// A node of quantised operands x, y: u8 inputs `[a, b, 8]` and a weight `w` i8 `[8, 8]`.
fn model(op: &str, inputs: &str, attributes: Vec<AttributeProto>) -> ModelProto {
    let input = |model: ModelProto, name| model.typed_input(name, data_type::UINT8, &["a", "b", "8"]);
    let model = ["x", "y"].into_iter().fold(file(17), input);
    let model = model.typed_input("m", data_type::UINT8, &["a", "8"]);
    let scale = |model: ModelProto, (name, value)| model.initializer(floats_tensor(name, &[], &[value]));
    let model = [("s", 0.5), ("t", 0.25), ("u", 0.125)].into_iter().fold(model, scale);
    let model = model.initializer(zeros("w", data_type::INT8, &[8, 8], 64)).initializer(zeros("z", 2, &[], 1));
    let model = model.initializer(zeros("zs", data_type::INT8, &[8], 8));
    let model = model.initializer(zeros("bias", data_type::INT32, &[8], 32));
    let model = model.initializer(floats_tensor("many", &[8], &[0.5; 8]));
    model.output("out").node(op, inputs, "out", attributes)
}

#[test]
fn products() {
    becomes(
        &model("QLinearMatMul", "x s z w many zs u z", vec![]),
        "%0 = MatMulInteger x int8[8, 8] 0 int8[8]
         %1 = Cast(F32) %0
         %2 = Binary(Mul) 0.5 float32[8]
         %3 = Binary(Mul) %1 %2
         %4 = QuantizeLinear { axis: -1 } %3 0.125 0
         -> %4",
    );
    assert!(model("QLinearMatMul", "x many z w t zs u z", vec![]).error().contains("with a scale per row"));
    assert!(model("QLinearMatMul", "x s z w t zs u bias", vec![]).error().contains("other than int8 and uint8"));
}

#[test]
fn gemm_with_all_its_forms() {
    becomes(
        &model("com.microsoft:QGemm", "m s z w t zs bias u z", vec![int("transB", 1)]),
        "%0 = Cast(F32) int32[8]
         %1 = Binary(Mul) 0.5 0.25
         %2 = Binary(Mul) %0 %1
         %3 = Transpose { perm: [1, 0] } int8[8, 8]
         %4 = MatMulInteger m %3 0 int8[8]
         %5 = Cast(F32) %4
         %6 = Binary(Mul) 0.5 0.25
         %7 = Binary(Mul) %5 %6
         %8 = Binary(Add) %7 %2
         %9 = QuantizeLinear { axis: -1 } %8 0.125 0
         -> %9",
    );
    // Without a scale the result stays float.
    becomes(
        &model("com.microsoft:QGemm", "m s z w t zs", vec![float("alpha", 2.0)]),
        "%0 = DequantizeLinear { axis: -1 } m 0.5 0
         %1 = DequantizeLinear { axis: 1 } int8[8, 8] 0.25 int8[8]
         %2 = Gemm { alpha: 2.0, beta: 2.0, trans_a: false, trans_b: false } %0 %1
         -> %2",
    );
}

#[test]
fn other_functions() {
    for (op, name) in [("QLinearAdd", "Add"), ("QLinearMul", "Mul")] {
        becomes(
            &model(&format!("com.microsoft:{op}"), "x s z y t _ u z", vec![]),
            &format!(
                "%0 = DequantizeLinear {{ axis: -1 }} x 0.5 0
                 %1 = DequantizeLinear {{ axis: -1 }} y 0.25
                 %2 = Binary({name}) %0 %1
                 %3 = QuantizeLinear {{ axis: -1 }} %2 0.125 0
                 -> %3"
            ),
        );
    }
    let softmax = |opset, inputs| {
        let attributes = vec![int("axis", 1), int("opset", opset)];
        model("com.microsoft:QLinearSoftmax", inputs, attributes)
    };
    let expected = |coerced: bool| {
        format!(
            "%0 = DequantizeLinear {{ axis: -1 }} x 0.5 0
             %1 = Softmax {{ axis: 1, coerced: {coerced} }} %0
             %2 = QuantizeLinear {{ axis: -1 }} %1 0.125 0
             -> %2"
        )
    };
    becomes(&softmax(13, "x s z u z"), &expected(false));
    becomes(&softmax(12, "x s z u z"), &expected(true));
    // Without a zero point, it is 0 and of the operand's type.
    becomes(&softmax(13, "x s z u"), &expected(false));
}
