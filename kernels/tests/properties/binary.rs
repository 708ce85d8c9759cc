use crate::{Noise, assert_each, config, same};
use fourlane_kernels::binary::{BinaryOp, broadcast};
use fourlane_kernels::reference;
use proptest::prelude::*;

const ALL: [BinaryOp; 7] =
    [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Pow, BinaryOp::Min, BinaryOp::Max];

/// Axes of a view: their lengths, and for each operand whether it repeats along them.
fn axes() -> impl Strategy<Value = Vec<(usize, [bool; 2])>> {
    let short = prop::collection::vec((0..=5usize, any::<[bool; 2]>()), 0..=6);
    let long = prop::collection::vec((prop_oneof![Just(1), 250..=600usize], any::<[bool; 2]>()), 1..=1);
    prop_oneof![4 => short.clone(), 1 => (short, long).prop_map(|(short, long)| {
        short.into_iter().take(2).chain(long).collect()
    })]
}

/// The strides of an operand whose memory has its axes in row-major order, or in the opposite one.
fn strides(axes: &[(usize, [bool; 2])], operand: usize, reversed: bool) -> (Vec<usize>, usize) {
    let mut strides = vec![0; axes.len()];
    let mut size = 1;
    let order: Vec<usize> = if reversed { (0..axes.len()).collect() } else { (0..axes.len()).rev().collect() };
    for axis in order {
        let (len, repeats) = axes[axis];
        if !repeats[operand] {
            strides[axis] = size;
            size *= len;
        }
    }
    (strides, size)
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn matches_reference(
        axes in axes(),
        reversed in any::<[bool; 2]>(),
        exponent in prop_oneof![Just(None), Just(Some(2.0)), Just(Some(3.0)), Just(Some(0.5)), Just(Some(-1.0))],
        poison: bool,
        seed: u64,
    ) {
        let mut noise = Noise::new(seed);
        let shape: Vec<usize> = axes.iter().map(|axis| axis.0).collect();
        let (a_strides, a_len) = strides(&axes, 0, reversed[0]);
        let (b_strides, b_len) = strides(&axes, 1, reversed[1]);
        let (mut a, mut b) = (noise.floats(a_len), noise.floats(b_len));
        if let Some(exponent) = exponent {
            b.fill(exponent);
        }
        if poison {
            noise.poison(&mut a);
            noise.poison(&mut b);
        }
        for op in ALL {
            let mut out = vec![f32::NAN; shape.iter().product()];
            broadcast(op, &shape, &a, &a_strides, &b, &b_strides, &mut out);
            let expected = reference::broadcast(op, &shape, &a, &a_strides, &b, &b_strides);
            // A cube rounds twice, the library's power once.
            let near = |x: f32, y: f32| (x - y).abs() <= 2.5e-7 * y.abs() + 1e-44;
            assert_each(&out, &expected, |_, x, y| same(x, y) || (op == BinaryOp::Pow && near(x, y)));
        }
    }
}

#[test]
fn roots_by_power_follow_power() {
    let a = [f32::NEG_INFINITY, -0.0, -1.0, 4.0, f32::INFINITY, f32::NAN];
    let mut out = [0.0; 6];
    broadcast(BinaryOp::Pow, &[6], &a, &[1], &[0.5], &[0], &mut out);
    assert_eq!(out[0], f32::INFINITY);
    assert_eq!(out[1].to_bits(), 0);
    assert!(out[2].is_nan() && out[5].is_nan());
    assert_eq!(out[3..5], [2.0, f32::INFINITY]);
}

#[test]
#[should_panic(expected = "an operand is too short")]
fn a_short_operand_panics() {
    broadcast(BinaryOp::Add, &[2, 2], &[0.0; 4], &[2, 1], &[0.0; 3], &[2, 1], &mut [0.0; 4]);
}
