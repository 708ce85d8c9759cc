//! One operator, many spellings: over the opsets, as attribute or input, with defaults.

use super::*;

/// `single` with constant integer operands after `x`.
fn with_ints(opset: i64, op: &str, inputs: &str, operands: &[&[i64]], attributes: Vec<AttributeProto>) -> ModelProto {
    operands.iter().enumerate().fold(single(opset, op, inputs, attributes), |model, (i, values)| {
        model.initializer(ints_tensor(&format!("c{i}"), &[values.len() as i64], values))
    })
}

#[test]
fn softmax_changed_its_meaning_at_13() {
    let softmax = |opset, axis: Option<i64>| {
        let text = single(opset, "Softmax", "x", axis.map(|axis| int("axis", axis)).into_iter().collect()).text();
        text.strip_prefix("%0 = Softmax { ").unwrap().strip_suffix(" } x\n-> %0").unwrap().to_owned()
    };
    assert_eq!(softmax(13, None), "axis: -1, coerced: false");
    assert_eq!(softmax(13, Some(1)), "axis: 1, coerced: false");
    assert_eq!(softmax(11, None), "axis: 1, coerced: true");
    // Over the last axis there is no difference.
    assert_eq!(softmax(11, Some(2)), "axis: 2, coerced: false");
    assert_eq!(softmax(11, Some(-1)), "axis: -1, coerced: false");
}

#[test]
fn axes_are_attributes_or_inputs() {
    for op in ["Squeeze", "Unsqueeze"] {
        let expected = format!("%0 = {op} x [1]\n -> %0");
        becomes(&single(11, op, "x", vec![ints("axes", &[1])]), &expected);
        becomes(&with_ints(13, op, "x c0", &[&[1]], vec![]), &expected);
    }
    becomes(&single(13, "Squeeze", "x", vec![]), "%0 = Squeeze x\n -> %0");
    assert!(single(13, "Unsqueeze", "x", vec![]).error().contains("Unsqueeze (without axes)"));

    let mean = "%0 = Reduce { op: Mean, keep_dims: false, noop_with_empty_axes: false } x [-1]\n -> %0";
    becomes(&single(11, "ReduceMean", "x", vec![ints("axes", &[-1]), int("keepdims", 0)]), mean);
    becomes(&with_ints(18, "ReduceMean", "x c0", &[&[-1]], vec![int("keepdims", 0)]), mean);
    becomes(
        &single(18, "ReduceSum", "x", vec![int("noop_with_empty_axes", 1)]),
        "%0 = Reduce { op: Sum, keep_dims: true, noop_with_empty_axes: true } x\n -> %0",
    );
}

#[test]
fn slices_and_splits_and_pads() {
    let slice = "%0 = Slice x [0] [9] [1]\n -> %0";
    let attributes = vec![ints("starts", &[0]), ints("ends", &[9]), ints("axes", &[1])];
    becomes(&single(9, "Slice", "x", attributes), slice);
    becomes(&with_ints(10, "Slice", "x c0 c1 c2", &[&[0], &[9], &[1]], vec![]), slice);
    becomes(&with_ints(10, "Slice", "x c0 c1 _ c2", &[&[0], &[9], &[2]], vec![]), "%0 = Slice x [0] [9] _ [2]\n -> %0");
    assert!(single(9, "Slice", "x", vec![]).error().contains("Slice (without starts)"));

    let split = |opset, inputs: &str, attributes| {
        let model = file(opset).input("x", &["6"]).initializer(ints_tensor("c0", &[2], &[2, 4])).output("b");
        model.node("Split", inputs, "a b", attributes)
    };
    becomes(&split(11, "x", vec![ints("split", &[2, 4])]), "%0 %1 = Split { axis: 0 } x [2, 4]\n -> %1");
    becomes(&split(13, "x c0", vec![]), "%0 %1 = Split { axis: 0 } x [2, 4]\n -> %1");
    becomes(&split(18, "x", vec![int("num_outputs", 2)]), "%0 %1 = Split { axis: 0 } x\n -> %1");
    assert!(split(18, "x", vec![int("num_outputs", 3)]).error().contains("another number of outputs"));
    let nothing = single(18, "Relu", "x", vec![]).node("Split", "x", "", vec![]);
    assert!(nothing.error().contains("Split (without outputs)"));

    let pads = ints("pads", &[0, 1]);
    becomes(&single(10, "Pad", "x", vec![pads.clone(), float("value", 2.0)]), "%0 = Pad x [0, 1] 2.0\n -> %0");
    becomes(&with_ints(18, "Pad", "x c0 _ c1", &[&[0, 1], &[1]], vec![]), "%0 = Pad x [0, 1] _ [1]\n -> %0");
    assert!(single(10, "Pad", "x", vec![pads, string("mode", "edge")]).error().contains("mode='edge'"));
}

#[test]
fn the_best() {
    let top_k = |attributes| {
        let model = file(21).input("x", &["6"]).initializer(ints_tensor("k", &[1], &[2])).output("indices");
        model.node("TopK", "x k", "values indices", attributes)
    };
    becomes(&top_k(vec![]), "%0 %1 = TopK { axis: -1, largest: true } x [2]\n -> %1");
    let attributes = vec![int("axis", 0), int("largest", 0), int("sorted", 0)];
    becomes(&top_k(attributes), "%0 %1 = TopK { axis: 0, largest: false } x [2]\n -> %1");
}

#[test]
fn bounds_of_clip() {
    let both = "%0 = Binary(Max) x -1.0\n %1 = Binary(Min) %0 1.0\n -> %1";
    becomes(&single(10, "Clip", "x", vec![float("min", -1.0), float("max", 1.0)]), both);
    let inputs = |names| {
        let model = single(11, "Clip", names, vec![]).initializer(floats_tensor("lo", &[], &[-1.0]));
        model.initializer(floats_tensor("hi", &[], &[1.0]))
    };
    becomes(&inputs("x lo hi"), both);
    becomes(&inputs("x _ hi"), "%0 = Binary(Min) x 1.0\n -> %0");
    becomes(&inputs("x"), "-> x");
}

#[test]
fn shapes_have_a_range_since_15() {
    becomes(&single(13, "Shape", "x", vec![]), &format!("%0 = Shape {{ start: 0, end: {} }} x\n -> %0", i64::MAX));
    let part = vec![int("start", 1), int("end", -1)];
    becomes(&single(15, "Shape", "x", part), "%0 = Shape { start: 1, end: -1 } x\n -> %0");
}

#[test]
fn reshapes_and_constants_of_shape() {
    for (attributes, allow_zero) in [(vec![], false), (vec![int("allowzero", 1)], true)] {
        let model = with_ints(14, "Reshape", "x c0", &[&[0, -1]], attributes);
        becomes(&model, &format!("%0 = Reshape {{ allow_zero: {allow_zero} }} x [0, -1]\n -> %0"));
    }
    let filled = |attributes| with_ints(14, "ConstantOfShape", "c0", &[&[2]], attributes);
    becomes(&filled(vec![]), "%0 = Expand 0.0 [2]\n -> %0");
    let ones = with_tensor("value", ints_tensor("", &[1], &[1]));
    becomes(&filled(vec![ones]), "%0 = Expand 1 [2]\n -> %0");
    let two = with_tensor("value", ints_tensor("", &[2], &[1, 2]));
    assert!(filled(vec![two]).error().contains("a value of other than one element"));
}

#[test]
fn transposes_without_a_permutation_reverse() {
    becomes(&single(13, "Transpose", "x", vec![]), "%0 = Transpose { perm: [2, 1, 0] } x\n -> %0");
    for perm in [&[0, 0, 1][..], &[1, 2, 3], &[-1, 0, 1]] {
        assert!(single(13, "Transpose", "x", vec![ints("perm", perm)]).error().contains("no permutation"));
    }
    // The rank of a Reshape to a computed shape is unknown, unless the file tells.
    let mut model = file(13).input("x", &["n"]).typed_input("s", data_type::INT64, &["r"]).output("out");
    model = model.node("Reshape", "x s", "y", vec![]).node("Transpose", "y", "out", vec![]);
    assert!(model.error().contains("Transpose (of a tensor whose rank the file does not tell)"));
    model.graph_mut().value_info.push(value_info("y", data_type::FLOAT, Some(&["a", "b"])));
    assert!(model.text().contains("perm: [1, 0]"));
}

#[test]
fn constants_in_all_forms() {
    let constant = |attribute| file(13).output("out").node("Constant", "", "out", vec![attribute]);
    becomes(&constant(float("value_float", 0.5)), "-> 0.5");
    let floats = AttributeProto { floats: vec![0.5, 1.0], ..attribute("value_floats", attribute_kind::FLOATS) };
    becomes(&constant(floats), "-> [0.5, 1.0]");
    becomes(&constant(int("value_int", 3)), "-> 3");
    becomes(&constant(ints("value_ints", &[3, 4])), "-> [3, 4]");
    becomes(&constant(with_tensor("value", ints_tensor("", &[1], &[5]))), "-> [5]");
    assert!(constant(string("value_string", "a")).error().contains("Constant (without a dense numeric value)"));
}

#[test]
fn casts_to_the_same_type_vanish() {
    let cast = |from, to| {
        let model = file(13).typed_input("x", from, &["n"]).output("out");
        model.node("Cast", "x", "out", vec![int("to", to)])
    };
    becomes(&cast(data_type::INT64, 1), "%0 = Cast(F32) x\n -> %0");
    // Half floats, brain floats and doubles all run as f32.
    for from in [data_type::FLOAT, data_type::FLOAT16, data_type::DOUBLE] {
        for to in [data_type::FLOAT, data_type::FLOAT16, data_type::BFLOAT16, data_type::DOUBLE] {
            becomes(&cast(from, to.into()), "-> x");
        }
    }
    assert!(cast(1, data_type::UINT16.into()).error().contains("Cast (to uint16)"));
    assert!(cast(1, 8).error().contains("Cast (to string)"));

    let like = |code| {
        let model = single(15, "CastLike", "x t", vec![]);
        model.typed_input("t", code, &[])
    };
    becomes(&like(data_type::FLOAT16), "-> x");
    becomes(&like(data_type::BOOL), "%0 = Cast(Bool) x\n -> %0");
}

#[test]
fn dropout_is_nothing_at_inference() {
    becomes(&single(11, "Dropout", "x", vec![float("ratio", 0.1)]), "-> x");
    let training = |data| {
        let flag = TensorProto { raw_data: Some(vec![data]), ..zeros("t", data_type::BOOL, &[], 1) };
        single(12, "Dropout", "x r t", vec![]).initializer(floats_tensor("r", &[], &[0.1])).initializer(flag)
    };
    becomes(&training(0), "-> x");
    assert!(training(1).error().contains("Dropout (in training mode)"));
}

#[test]
fn variadic_operators_are_chains() {
    becomes(&single(13, "Max", "x y z", vec![]), "%0 = Binary(Max) x y\n %1 = Binary(Max) %0 z\n -> %1");
    becomes(&single(13, "Sum", "x", vec![]), "-> x");
    assert!(file(13).output("out").node("Min", "", "out", vec![]).error().contains("Min (without inputs)"));
}

#[test]
fn exponents_take_the_type_of_the_base() {
    let pow = |base, exponent| {
        let model = file(13).typed_input("x", base, &["n"]).typed_input("e", exponent, &[]).output("out");
        model.node("Pow", "x e", "out", vec![])
    };
    becomes(&pow(data_type::FLOAT, data_type::FLOAT16), "%0 = Binary(Pow) x e\n -> %0");
    becomes(&pow(data_type::FLOAT, data_type::INT64), "%0 = Cast(F32) e\n %1 = Binary(Pow) x %0\n -> %1");
    assert!(pow(data_type::INT64, data_type::FLOAT).error().contains("Pow (of integers"));
}

#[test]
fn defaults_of_products_and_normalisations() {
    becomes(
        &single(13, "Gemm", "x y", vec![]),
        "%0 = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false } x y\n -> %0",
    );
    becomes(
        &single(17, "LayerNormalization", "x y", vec![int("stash_type", 1)]),
        "%0 = LayerNorm { axis: -1, epsilon: 1e-5, moments: Wide } x y\n -> %0",
    );
    becomes(&single(20, "Gelu", "x", vec![]), "%0 = Unary(Gelu) x\n -> %0");
    let tanh = vec![string("approximate", "tanh")];
    becomes(&single(20, "Gelu", "x", tanh), "%0 = Unary(GeluTanh) x\n -> %0");
    // Before opset 7, Gemm broadcast by an attribute.
    assert!(single(6, "Gemm", "x y z", vec![int("broadcast", 1)]).error().contains("attribute 'broadcast'"));
}
