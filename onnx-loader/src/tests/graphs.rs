//! Names, order and ports.

use super::*;
use crate::summarize;
use fourlane_graph::ir::PortDim;

#[test]
fn nodes_in_any_order_are_sorted() {
    let model = file(17)
        .input("x", &["n"])
        .output("out")
        .node("Tanh", "b", "out", vec![])
        .node("Sqrt", "a", "b", vec![])
        .node("Exp", "x", "a", vec![]);
    becomes(&model, "%0 = Unary(Exp) x\n %1 = Unary(Sqrt) %0\n %2 = Unary(Tanh) %1\n -> %2");
}

#[test]
fn broken_graphs_are_named() {
    let missing = file(17).input("x", &["n"]).output("out").node("Add", "x w", "out", vec![]);
    assert_eq!(
        missing.error(),
        "node 'n0' (Add) reads 'w', which is no model input, no initializer and no node's output"
    );
    let no_output = file(17).input("x", &["n"]).output("out");
    assert_eq!(
        no_output.error(),
        "the list of model outputs reads 'out', which is no model input, no initializer and no node's output"
    );
    let cycle = file(17).output("a").node("Exp", "b", "a", vec![]).node("Exp", "a", "b", vec![]);
    assert_eq!(cycle.error(), "node 'n0' needs its own output: the graph has a cycle");
    let twice = file(17).input("x", &["n"]).output("a").node("Exp", "x", "a", vec![]).node("Abs", "x", "a", vec![]);
    assert!(matches!(twice.load(), Err(LoadError::DuplicateValue(name)) if name == "a"));
    let shadow = file(17).input("x", &["n"]).output("x").node("Exp", "x", "x", vec![]);
    assert!(matches!(shadow.load(), Err(LoadError::DuplicateValue(name)) if name == "x"));
    assert_eq!(ModelProto::default().error(), "this is not an ONNX file: it has no graph");
}

#[test]
fn initializers_among_the_inputs_are_weights() {
    let model = file(17)
        .input("x", &["n"])
        .input("w", &["1"])
        .initializer(floats_tensor("w", &[1], &[2.0]))
        .output("out")
        .node("Mul", "x w", "out", vec![]);
    becomes(&model, "%0 = Binary(Mul) x [2.0]\n -> %0");
    assert_eq!(model.load().unwrap().inputs.len(), 1);
}

#[test]
fn outputs_may_be_inputs_and_constants() {
    let model = file(17)
        .input("x", &["n"])
        .initializer(floats_tensor("w", &[1], &[2.0]))
        .output("x")
        .output("w")
        .output("same")
        .node("Identity", "x", "same", vec![]);
    becomes(&model, "-> x [2.0] x");
}

#[test]
fn ports_have_types_and_dimensions() {
    let mut model = file(17)
        .typed_input("ids", data_type::INT64, &["batch", "7", "0", "-1"])
        .typed_input("half", data_type::FLOAT16, &["batch", ""])
        .output("out")
        .node("Cast", "ids", "out", vec![int("to", 1)]);
    model.graph_mut().input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().shape.as_mut().unwrap().dim[3] =
        DimensionProto::default();
    model.graph_mut().output.push(value_info("half", data_type::FLOAT16, None));
    let model = model.load().unwrap();

    let symbol = |name: &str| PortDim::Symbol(name.into());
    let dims = vec![symbol("batch"), PortDim::Fixed(7), symbol("ids[2]"), symbol("ids[3]")];
    assert_eq!((model.inputs[0].dtype, &model.inputs[0].dims), (DType::I64, &Some(dims)));
    assert_eq!(model.inputs[1].dtype, DType::F16);
    assert_eq!(model.inputs[1].dims, Some(vec![symbol("batch"), symbol("half[1]")]));
    // What the file does not say of an output is inferred or left open.
    assert_eq!((model.outputs[0].dtype, &model.outputs[0].dims), (DType::F32, &None));
    assert_eq!(model.outputs[1].dtype, DType::F16);
}

#[test]
fn inputs_of_unknown_rank_are_left_open() {
    let mut model = file(17).node("Relu", "x", "y", vec![]).output("y");
    model.graph_mut().input.push(value_info("x", data_type::FLOAT, None));
    assert_eq!(model.load().unwrap().inputs[0].dims, None);
}

#[test]
fn ports_that_cannot_be_offered() {
    let strings = file(17).typed_input("s", 8, &["n"]).output("s");
    assert_eq!(strings.error(), "model input 's' holds string, which is not supported");
    let mut sequence = file(17).output("x");
    sequence.graph_mut().input.push(ValueInfoProto { name: "x".into(), r#type: Some(TypeProto::default()) });
    assert_eq!(sequence.error(), "model input 'x' is no tensor");
}

#[test]
fn all_unsupported_operators_are_reported() {
    let mut model = file(17).input("x", &["n"]).output("v5").node("ConvTranspose", "x", "v0", vec![]);
    for i in 0..4 {
        model = model.node("ConvTranspose", &format!("v{i}"), &format!("v{}", i + 1), vec![]);
    }
    let model = model
        .node("com.example:Magic", "v4", "v5", vec![])
        .node("Relu", "v5", "v6", vec![int("leaky", 1)])
        // What cannot be known because of the others is not reported on top.
        .node("CastLike", "x v5", "v7", vec![])
        .node("Loop", "x", "v8", vec![]);
    let Err(LoadError::UnsupportedOperators(all)) = model.load() else { panic!() };
    let found: Vec<_> = all.iter().map(|u| (u.operator.as_str(), u.reason.as_ref(), u.count)).collect();
    let expected = [
        ("ConvTranspose", "", 5),
        ("com.example:Magic", "", 1),
        ("Relu", "with attribute 'leaky'", 1),
        ("Loop", "", 1),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        model.error(),
        "the model needs what is not supported: ConvTranspose in 5 nodes 'n0', 'n1', 'n2', ...; \
         com.example:Magic in 1 node 'n5'; Relu (with attribute 'leaky') in 1 node 'n6'; Loop in 1 node 'n8'"
    );
}

#[test]
fn what_a_converter_does_not_take_is_refused() {
    let input = single(17, "Relu", "x y", vec![]);
    assert!(input.error().contains("Relu (with input 1)"));
    let output = file(17).input("x", &["n"]).output("mask").node("Dropout", "x", "y mask", vec![]);
    assert!(output.error().contains("Dropout (with output 1)"));
    let unread = file(17).input("x", &["n"]).output("y").node("Dropout", "x", "y mask", vec![]);
    becomes(&unread, "-> x");
    let kind = single(17, "Softmax", "x", vec![float("axis", 1.0)]);
    assert!(kind.error().contains("Softmax (with attribute 'axis' of another type)"));
}

#[test]
fn attributes_without_a_kind_or_a_zero_are_read() {
    let kind = AttributeProto { kind: attribute_kind::UNDEFINED, ..int("axis", 1) };
    becomes(&single(17, "Gather", "x y", vec![kind]), "%0 = Gather { axis: 1 } x y\n -> %0");
    let zero = attribute("axis", attribute_kind::INT);
    becomes(&single(17, "Flatten", "x", vec![zero]), "%0 = Flatten { axis: 0 } x\n -> %0");
}

#[test]
fn both_names_of_the_standard_domain_count() {
    let mut model = single(11, "ai.onnx:Softmax", "x", vec![int("axis", 0)]);
    becomes(&model, "%0 = Softmax { axis: 0, coerced: true } x\n -> %0");
    model.opset_import = vec![OperatorSetId { domain: "ai.onnx".into(), version: 13 }];
    becomes(&model, "%0 = Softmax { axis: 0, coerced: false } x\n -> %0");
}

#[test]
fn nodes_keep_their_names() {
    let mut model = single(17, "Relu", "x", vec![]);
    assert_eq!(model.load().unwrap().nodes[0].name, "n0");
    model.graph_mut().node[0].name.clear();
    assert_eq!(model.load().unwrap().nodes[0].name, "out");
}

#[test]
fn summaries_tell_what_a_model_has_lost() {
    let mut model = file(17)
        .input("x", &["n"])
        .initializer(floats_tensor("w", &[2, 3], &[0.0; 6]))
        .initializer(zeros("q", 22, &[10], 5))
        .node("com.microsoft:MatMulNBits", "x q", "a", vec![])
        .node("Add", "a w", "out", vec![])
        .node("Add", "out w", "out2", vec![]);
    model.producer_name = "pytorch".into();
    model.producer_version = "2.7.0".into();
    let summary = summarize(&model.encode_to_vec().into()).unwrap();
    assert_eq!((summary.producer.as_str(), summary.ir_version), ("pytorch 2.7.0", 8));
    assert_eq!(summary.opsets, [(String::new(), 17), ("com.microsoft".into(), 1)]);
    assert_eq!(summary.operators, [("Add".into(), 2), ("com.microsoft:MatMulNBits".into(), 1)]);
    let weights: Vec<_> = summary.weights.iter().map(|w| (w.dtype, w.tensors, w.elements, w.external)).collect();
    assert_eq!(weights, [("float", 1, 6, 0), ("int4", 1, 10, 0)]);
}
