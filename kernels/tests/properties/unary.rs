//! Accuracy of the functions of one number.

use crate::{Noise, same};
use fourlane_kernels::reference;
use fourlane_kernels::unary::{UnaryOp, apply};

const ALL: [UnaryOp; 19] = [
    UnaryOp::Abs,
    UnaryOp::Neg,
    UnaryOp::Sign,
    UnaryOp::Ceil,
    UnaryOp::Floor,
    UnaryOp::Sqrt,
    UnaryOp::Reciprocal,
    UnaryOp::Exp,
    UnaryOp::Log,
    UnaryOp::Sin,
    UnaryOp::Cos,
    UnaryOp::Erf,
    UnaryOp::Tanh,
    UnaryOp::Sigmoid,
    UnaryOp::Relu,
    UnaryOp::Gelu,
    UnaryOp::GeluHalf,
    UnaryOp::GeluTanh,
    UnaryOp::Half,
];

/// In what an error is measured.
enum Unit {
    Ulp,
    Absolute,
    /// Of `max(1, |x|)`.
    Relative,
    /// Absolute up to 2^24; beyond, only a number in -1..=1 is asked for.
    Turns,
}

/// The error that the documentation promises.
fn promised(op: UnaryOp) -> (f64, Unit) {
    match op {
        UnaryOp::Exp | UnaryOp::Tanh => (2.0, Unit::Ulp),
        UnaryOp::Sigmoid => (1.2e-7, Unit::Absolute),
        UnaryOp::Log => (1.0, Unit::Ulp),
        UnaryOp::Sin | UnaryOp::Cos => (6e-8, Unit::Turns),
        UnaryOp::Erf => (2e-7, Unit::Absolute),
        UnaryOp::Gelu | UnaryOp::GeluHalf | UnaryOp::GeluTanh => (2e-7, Unit::Relative),
        // Correctly rounded.
        _ => (0.5, Unit::Ulp),
    }
}

/// The distance between neighbouring `f32` at `x`.
fn ulp(x: f64) -> f64 {
    let exponent = (x.abs().to_bits() >> 52) as i32 - 1023;
    2f64.powi(exponent.max(-126) - 23)
}

fn error(unit: &Unit, x: f32, actual: f32, expected: f64) -> f64 {
    // An overflow is as good as the limit.
    let rounded = expected as f32;
    if same(actual, rounded) {
        return match unit {
            Unit::Ulp if rounded.is_finite() => (actual as f64 - expected).abs() / ulp(expected),
            _ => 0.0,
        };
    }
    let error = (actual as f64 - expected).abs();
    let error = match unit {
        Unit::Ulp => error / ulp(expected),
        Unit::Turns if x.abs() > 16_777_216.0 && actual.abs() <= 1.0 => 0.0,
        Unit::Absolute | Unit::Turns => error,
        Unit::Relative => error / f64::from(x.abs().max(1.0)),
    };
    if error.is_nan() { f64::INFINITY } else { error }
}

/// The largest error over some bit patterns, and where it is.
fn worst(op: UnaryOp, bits: impl Iterator<Item = u32>) -> (f64, f32) {
    let (_, unit) = promised(op);
    // Of all NaNs the one that arithmetic makes.
    let mut bits = bits.map(f32::from_bits).map(|x| if x.is_nan() { f32::NAN } else { x }).peekable();
    let mut worst = (0.0, 0.0);
    while bits.peek().is_some() {
        let x: Vec<f32> = bits.by_ref().take(4096).collect();
        let mut y = x.clone();
        apply(op, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            let error = error(&unit, x, y, reference::unary(op, x.into()));
            if error > worst.0 {
                worst = (error, x);
            }
        }
    }
    worst
}

fn check(op: UnaryOp, bits: impl Iterator<Item = u32>) {
    let (error, x) = worst(op, bits);
    println!("{op:?} on {}: error {error:.3e} at {x:e}", fourlane_kernels::INSTRUCTION_SET);
    assert!(error <= promised(op).0, "{op:?}: error {error} at {x:e}");
}

#[test]
fn errors_are_within_bounds_on_a_sample_of_all_floats() {
    for op in ALL {
        check(op, (0..=u32::MAX).step_by(40_009));
    }
}

#[test]
fn errors_are_within_bounds_where_functions_bend() {
    for op in ALL {
        let near = (0.01f32.to_bits()..120f32.to_bits()).step_by(1009);
        check(op, near.flat_map(|bits| [bits, bits | 1 << 31]));
    }
}

#[test]
fn special_values() {
    let special =
        [0.0, f32::INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE, 1e-45, 1.0, 0.5, 88.72283, 88.7229, 104.0];
    for op in ALL {
        check(op, special.iter().flat_map(|x| [x.to_bits(), (-x).to_bits()]));
    }
}

/// The tail of a slice goes another way than full vectors, to the same bits.
#[test]
fn position_does_not_matter() {
    let x = Noise::new(3).floats(70);
    for op in ALL {
        let mut whole = x.clone();
        apply(op, &mut whole);
        for len in 0..=70usize {
            for start in [0, len / 2, len.saturating_sub(1)] {
                let mut part = x[start..len].to_vec();
                apply(op, &mut part);
                assert!(part.iter().zip(&whole[start..len]).all(|(&a, &b)| same(a, b)), "{op:?}, {start}..{len}");
            }
        }
    }
}

/// Every `f32` from 2^-24 to 128 and its negative: half a billion numbers. Nearer to zero the functions are linear,
/// further away they are constant or overflow, which the sample covers. The errors that this prints are those in the
/// documentation.
#[test]
#[ignore = "takes minutes"]
fn exhaustive() {
    let (low, high) = (2f32.powi(-24).to_bits(), 128f32.to_bits());
    for op in [
        UnaryOp::Exp,
        UnaryOp::Tanh,
        UnaryOp::Sigmoid,
        UnaryOp::Erf,
        UnaryOp::Gelu,
        UnaryOp::GeluHalf,
        UnaryOp::GeluTanh,
    ] {
        check(op, (low..=high).flat_map(|bits| [bits, bits | 1 << 31]));
    }
}
