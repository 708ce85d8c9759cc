//! `If`: by shape, by data, within one another.

use super::*;

/// A branch from a graph that is built as any other.
fn branch(name: &str, mut graph: ModelProto) -> AttributeProto {
    AttributeProto { g: Some(Box::new(std::mem::take(graph.graph_mut()))), ..attribute(name, 5) }
}

/// `x` doubled, by a constant that has the name of one outside.
fn doubled() -> ModelProto {
    file(17).initializer(floats_tensor("c", &[], &[2.0])).node("Mul", "x c", "y", vec![]).output("y")
}

fn same() -> ModelProto {
    file(17).node("Identity", "x", "z", vec![]).output("z")
}

/// Of another shape.
fn twice() -> ModelProto {
    file(17).node("Concat", "x x", "y", vec![int("axis", 1)]).output("y")
}

/// `out` is what the branches make of `x`, `[n, 2]`, under a condition of `test`.
fn chosen(test: ModelProto, then_branch: ModelProto, else_branch: ModelProto) -> ModelProto {
    let branches = vec![branch("then_branch", then_branch), branch("else_branch", else_branch)];
    test.initializer(floats_tensor("c", &[], &[100.0])).node("If", "test", "out", branches).output("out")
}

/// Whether a dimension of `x` is 2.
fn by_shape(axis: i64) -> ModelProto {
    file(17)
        .input("x", &["n", "2"])
        .initializer(ints_tensor("axis", &[], &[axis]))
        .initializer(ints_tensor("two", &[], &[2]))
        .node("Shape", "x", "shape", vec![])
        .node("Gather", "shape axis", "size", vec![])
        .node("Equal", "size two", "test", vec![])
}

/// Whether the sum of `x` is above 1.
fn by_data() -> ModelProto {
    file(17)
        .input("x", &["n", "2"])
        .initializer(floats_tensor("one", &[], &[1.0]))
        .node("ReduceSum", "x", "sum", vec![int("keepdims", 0)])
        .node("Greater", "sum one", "test", vec![])
}

fn operators(model: &ModelProto) -> Vec<(String, usize)> {
    Session::new(model.load().unwrap()).unwrap().report().operators
}

#[test]
fn what_a_shape_decides_is_decided_before() {
    let by_width = chosen(by_shape(1), doubled(), same());
    assert_eq!(run(&by_width, &[1, 2], &[3.0, 4.0]), [6.0, 8.0]);
    assert_eq!(operators(&by_width), [("Mul".to_string(), 1)]);
    // The branch that is not taken may have another shape.
    assert_eq!(operators(&chosen(by_shape(1), doubled(), twice())), [("Mul".to_string(), 1)]);
    // Where it depends on the text, it is decided for each.
    let by_length = chosen(by_shape(0), doubled(), same());
    assert_eq!(run(&by_length, &[1, 2], &[3.0, 4.0]), [3.0, 4.0]);
    assert_eq!(run(&by_length, &[2, 2], &[3.0, 4.0, 5.0, 6.0]), [6.0, 8.0, 10.0, 12.0]);
}

#[test]
fn what_data_decides_is_decided_when_it_is_there() {
    let model = chosen(by_data(), doubled(), same());
    assert_eq!(run(&model, &[1, 2], &[3.0, 4.0]), [6.0, 8.0]);
    assert_eq!(run(&model, &[1, 2], &[-3.0, 4.0]), [-3.0, 4.0]);
    let model = chosen(by_data(), doubled(), twice()).load().unwrap();
    let error = Session::new(model).err().unwrap().to_string();
    assert!(error.contains("the shape of a result depends on the values of the input"), "{error}");
}

#[test]
fn branches_have_branches() {
    let inner = |then_branch| {
        let branches = vec![branch("then_branch", then_branch), branch("else_branch", same())];
        file(17).node("If", "test", "y", branches).output("y")
    };
    let model = chosen(by_data(), inner(doubled()), inner(same()));
    assert_eq!(run(&model, &[1, 2], &[3.0, 4.0]), [6.0, 8.0]);
    assert_eq!(run(&model, &[1, 2], &[-3.0, 4.0]), [-3.0, 4.0]);
}

#[test]
fn branches_must_be_there_and_make_the_outputs() {
    let alone = by_data().node("If", "test", "out", vec![branch("then_branch", doubled())]).output("out");
    assert!(alone.error().contains("If (without two branches that make its outputs)"), "{}", alone.error());
    let unknown = file(17).node("Magic", "x", "z", vec![]).output("z");
    assert!(chosen(by_data(), doubled(), unknown).error().contains("Magic in 1 node"));
    let nothing = file(17).node("Identity", "nowhere", "z", vec![]).output("z");
    assert!(chosen(by_data(), doubled(), nothing).error().contains("'nowhere'"));
}
