//! Rotary embeddings.

use super::*;

/// Two positions, heads of 4: a quarter turn and none for the first pair, none and a half turn for the second.
fn model(x: &[&str], attributes: Vec<AttributeProto>, positions: Option<&[i64]>) -> ModelProto {
    let mut model = file(23).input("x", x).output("out");
    let dims = if positions.is_some() { &[2, 2][..] } else { &[1, 2, 2] };
    model = model.initializer(floats_tensor("cos", dims, &[0.0, 1.0, 1.0, -1.0]));
    model = model.initializer(floats_tensor("sin", dims, &[1.0, 0.0, 0.0, 0.0]));
    match positions {
        Some(positions) => model.initializer(ints_tensor("at", &[1, positions.len() as i64], positions)).node(
            "RotaryEmbedding",
            "x cos sin at",
            "out",
            attributes,
        ),
        None => model.node("RotaryEmbedding", "x cos sin", "out", attributes),
    }
}

#[test]
fn pairs_are_half_a_head_apart() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let turned = [-3.0, 2.0, 1.0, 4.0, 5.0, -6.0, 7.0, -8.0];
    assert_eq!(run(&model(&["1", "1", "2", "4"], vec![], None), &[1, 1, 2, 4], &x), turned);
    assert_eq!(run(&model(&["1", "2", "4"], vec![int("num_heads", 1)], None), &[1, 2, 4], &x), turned);
}

#[test]
fn positions_pick_rows_of_the_tables() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let turned = [1.0, -2.0, 3.0, -4.0, -7.0, 6.0, 5.0, 8.0];
    assert_eq!(run(&model(&["1", "1", "2", "4"], vec![], Some(&[1, 0])), &[1, 1, 2, 4], &x), turned);
}

#[test]
fn what_is_refused() {
    let rank_3 = ["1", "2", "4"];
    assert!(model(&rank_3, vec![], None).error().contains("RotaryEmbedding (without a number of heads)"));
    let interleaved = vec![int("interleaved", 1), int("num_heads", 1)];
    assert!(model(&rank_3, interleaved, None).error().contains("RotaryEmbedding (with interleaved=1)"));
}
