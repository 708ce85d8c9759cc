//! Fused operators, taken apart.

use super::*;

fn contrib(op: &str, inputs: &str, attributes: Vec<AttributeProto>) -> ModelProto {
    single(17, &format!("com.microsoft:{op}"), inputs, attributes)
}

#[test]
fn gelus() {
    becomes(&contrib("BiasGelu", "x y", vec![]), "%0 = Binary(Add) x y\n %1 = Unary(Gelu) %0\n -> %1");
    becomes(&contrib("Gelu", "x", vec![]), "%0 = Unary(Gelu) x\n -> %0");
    becomes(&contrib("FastGelu", "x", vec![]), "%0 = Unary(GeluTanh) x\n -> %0");
    becomes(&contrib("FastGelu", "x y", vec![]), "%0 = Binary(Add) x y\n %1 = Unary(GeluTanh) %0\n -> %1");
    becomes(
        &contrib("QuickGelu", "x", vec![]),
        "%0 = Binary(Mul) x 1.702\n %1 = Unary(Sigmoid) %0\n %2 = Binary(Mul) x %1\n -> %2",
    );
}

#[test]
fn skip_layer_norm_adds_the_bias_last() {
    let model = |inputs: &str| {
        file(17)
            .input("x", &["a", "b", "8"])
            .input("r", &["a", "b", "8"])
            .initializer(zeros("w", data_type::FLOAT, &[8, 8], 256))
            .initializer(zeros("g", data_type::FLOAT, &[8], 32))
            .initializer(zeros("bias", data_type::FLOAT, &[8], 32))
            .output("out")
            .output("sum")
            .node("MatMul", "x w", "p", vec![])
            .node("com.microsoft:SkipLayerNormalization", inputs, "out _ _ sum", vec![])
    };
    let norm = "%2 = Binary(Add) %1 float32[8]\n \
                %3 = LayerNorm { axis: -1, epsilon: 1e-12, moments: Running } %2 float32[8]\n -> %3 %2";
    let product = "%0 = MatMul x float32[8, 8]\n";
    becomes(&model("p r g _ bias"), &format!("{product} %1 = Binary(Add) %0 r\n {norm}"));
    becomes(&model("r p g _ bias"), &format!("{product} %1 = Binary(Add) r %0\n {norm}"));
    let mean = contrib("SkipLayerNormalization", "x y z", vec![]);
    let mut mean = mean.output("mean");
    mean.graph_mut().node[0].output.push("mean".into());
    assert!(mean.error().contains("(with output 1)"));
}

fn embeddings(inputs: &str, outputs: &str) -> ModelProto {
    let table = |name: &str, rows: i64| zeros(name, data_type::FLOAT, &[rows, 8], rows as usize * 32);
    let ids = |model: ModelProto, name| model.typed_input(name, data_type::INT32, &["b", "s"]);
    let model = ["ids", "seg", "mask", "pos"].into_iter().fold(file(17), ids);
    let model = ["words", "places", "segs"].into_iter().fold(model, |model, name| model.initializer(table(name, 2)));
    let model = ["g", "b"].into_iter().fold(model, |m, name| m.initializer(zeros(name, data_type::FLOAT, &[8], 32)));
    let model = outputs.split_whitespace().filter(|o| *o != "_").fold(model, |model, name| model.output(name));
    model.node("com.microsoft:EmbedLayerNormalization", inputs, outputs, vec![])
}

#[test]
fn embeddings_with_everything() {
    becomes(
        &embeddings("ids seg words places segs g b mask pos", "out tokens sum"),
        "%0 = Gather { axis: 0 } float32[2, 8] ids
         %1 = Gather { axis: 0 } float32[2, 8] pos
         %2 = Binary(Add) %0 %1
         %3 = Gather { axis: 0 } float32[2, 8] seg
         %4 = Binary(Add) %2 %3
         %5 = LayerNorm { axis: -1, epsilon: 1e-12, moments: Sequential } %4 float32[8] float32[8]
         %6 = Cast(I64) mask
         %7 = Reduce { op: Sum, keep_dims: false, noop_with_empty_axes: false } %6 [1]
         %8 = Cast(I32) %7
         -> %5 %8 %4",
    );
}

#[test]
fn embeddings_count_positions_themselves() {
    becomes(
        &embeddings("ids _ words places _ g b", "out"),
        "%0 = Gather { axis: 0 } float32[2, 8] ids
         %1 = Shape { start: 1, end: 2 } ids
         %2 = Squeeze %1 [0]
         %3 = Range 0 %2 1
         %4 = Gather { axis: 0 } float32[2, 8] %3
         %5 = Binary(Add) %0 %4
         %6 = LayerNorm { axis: -1, epsilon: 1e-12, moments: Sequential } %5 float32[8] float32[8]
         -> %6",
    );
    assert!(embeddings("ids _ words places _ g b", "out tokens").error().contains("(with output 1)"));
    assert!(embeddings("ids seg words places _ g b", "out").error().contains("but not both"));
}

#[test]
fn embeddings_from_quantised_tables() {
    let names = ["words", "places", "segs", "g", "b"];
    let ids = |model: ModelProto, name| model.typed_input(name, data_type::INT32, &["b", "s"]);
    let mut model = ["ids", "seg"].into_iter().fold(file(17), ids);
    for (i, name) in names.into_iter().enumerate() {
        let dims: &[i64] = if i < 3 { &[2, 8] } else { &[8] };
        let scale = floats_tensor(&format!("{name}_scale"), &[], &[i as f32]);
        let zero = TensorProto { raw_data: Some(vec![i as u8]), ..zeros(&format!("{name}_zero"), 2, &[], 1) };
        let values = zeros(name, data_type::UINT8, dims, if i < 3 { 16 } else { 8 });
        model = model.initializer(values).initializer(scale).initializer(zero);
    }
    let inputs = |suffix: &str| names.map(|name| format!("{name}{suffix}")).join(" ");
    let inputs = format!("ids seg {} _ {} {}", inputs(""), inputs("_scale"), inputs("_zero"));
    becomes(
        &model.output("out").node("com.microsoft:QEmbedLayerNormalization", &inputs, "out", vec![]),
        "%0 = Gather { axis: 0 } uint8[2, 8] ids
         %1 = DequantizeLinear { axis: 0 } %0 0.0 0
         %2 = Shape { start: 1, end: 2 } ids
         %3 = Squeeze %2 [0]
         %4 = Range 0 %3 1
         %5 = Gather { axis: 0 } uint8[2, 8] %4
         %6 = DequantizeLinear { axis: 0 } %5 1.0 1
         %7 = Binary(Add) %1 %6
         %8 = Gather { axis: 0 } uint8[2, 8] seg
         %9 = DequantizeLinear { axis: 0 } %8 2.0 2
         %10 = Binary(Add) %7 %9
         %11 = DequantizeLinear { axis: 0 } uint8[8] 3.0 3
         %12 = DequantizeLinear { axis: 0 } uint8[8] 4.0 4
         %13 = LayerNorm { axis: -1, epsilon: 1e-12, moments: Sequential } %10 %11 %12
         -> %13",
    );
}

#[test]
fn fused_products() {
    becomes(
        &contrib("FusedMatMul", "x y", vec![int("transB", 1), float("alpha", 0.25)]),
        "%0 = Transpose { perm: [0, 2, 1] } y\n %1 = MatMul x %0\n %2 = Binary(Mul) %1 0.25\n -> %2",
    );
    becomes(&contrib("FusedMatMul", "x y", vec![]), "%0 = MatMul x y\n -> %0");
    assert!(contrib("FusedMatMul", "x y", vec![int("transBatchA", 1)]).error().contains("transBatchA=1"));

    let gemm = |name| contrib("FusedGemm", "x y z", vec![string("activation", name), int("transB", 1)]);
    becomes(
        &gemm("Tanh"),
        "%0 = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true } x y z\n %1 = Unary(Tanh) %0\n -> %1",
    );
    assert!(gemm("LeakyRelu").error().contains("activation='LeakyRelu'"));
}

#[test]
fn integer_products() {
    let model = |op: &str, inputs: &str| {
        let model = file(17).typed_input("q", data_type::UINT8, &["n", "8"]).input("x", &["n", "8"]);
        let model = model.initializer(zeros("w", data_type::INT8, &[8, 8], 64));
        let model = model.initializer(zeros("bias", data_type::FLOAT, &[8], 32));
        let model = model.initializer(floats_tensor("s", &[], &[0.5])).initializer(floats_tensor("t", &[], &[0.25]));
        let model = model.initializer(zeros("z", data_type::UINT8, &[], 1));
        model.output("out").node(&format!("com.microsoft:{op}"), inputs, "out", vec![])
    };
    becomes(
        &model("MatMulIntegerToFloat", "q w s t z _ bias"),
        "%0 = MatMulInteger q int8[8, 8] 0
         %1 = Cast(F32) %0
         %2 = Binary(Mul) 0.5 0.25
         %3 = Binary(Mul) %1 %2
         %4 = Binary(Add) %3 float32[8]
         -> %4",
    );
    becomes(
        &model("DynamicQuantizeMatMul", "x w t"),
        "%0 %1 %2 = DynamicQuantizeLinear x
         %3 = MatMulInteger %0 int8[8, 8] %2
         %4 = Cast(F32) %3
         %5 = Binary(Mul) %1 0.25
         %6 = Binary(Mul) %4 %5
         -> %6",
    );
}
