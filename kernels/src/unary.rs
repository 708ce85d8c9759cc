//! Element-wise functions of one tensor.
//!
//! The costly ones are vectorised by hand in `math/`. The rest are loops that the compiler vectorises where it can; the
//! logarithm, sine and cosine take one number at a time, since no transformer spends time in them. All of it is `#[inline]`:
//! compiled, for size, with the crate that calls it.

use crate::math;
use crate::parallel::{for_each_chunk, part};
use crate::slices::map;

/// A function of one number, see [`apply`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnaryOp {
    /// `|x|`
    Abs,
    /// `-x`
    Neg,
    /// -1, 0 or 1; zeros and NaN stay as they are.
    Sign,
    /// The least integer not below `x`.
    Ceil,
    /// The greatest integer not above `x`.
    Floor,
    /// The square root, NaN for negative numbers.
    Sqrt,
    /// `1 / x`
    Reciprocal,
    /// `e^x`, within 2 ulp.
    Exp,
    /// The natural logarithm.
    Log,
    /// The sine of an angle in radians, within 6e-8 up to 2^24.
    Sin,
    /// The cosine of an angle in radians, within 6e-8 up to 2^24.
    Cos,
    /// The error function, within 2e-7.
    Erf,
    /// The hyperbolic tangent, within 2 ulp.
    Tanh,
    /// `1 / (1 + e^-x)`, within 1.2e-7.
    Sigmoid,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// `x / 2 * (1 + erf(x / sqrt 2))`, within 2e-7 of `max(1, |x|)`.
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`, within 2e-7 of `max(1, |x|)`.
    GeluTanh,
}

/// An element takes as long as so many multiply-adds.
const WORK: usize = 16;

/// Applies `op` to every element of `x` in place.
#[inline]
pub fn apply(op: UnaryOp, x: &mut [f32]) {
    let work = x.len().saturating_mul(WORK);
    for_each_chunk(x, part(x.len(), 16, work), work, |_, x| apply_here(op, x));
}

fn apply_here(op: UnaryOp, x: &mut [f32]) {
    match op {
        UnaryOp::Abs => each(x, f32::abs),
        UnaryOp::Neg => each(x, |x| -x),
        UnaryOp::Sign => each(x, |x| if x == 0.0 || x.is_nan() { x } else { 1f32.copysign(x) }),
        UnaryOp::Ceil => each(x, f32::ceil),
        UnaryOp::Floor => each(x, f32::floor),
        UnaryOp::Sqrt => each(x, f32::sqrt),
        UnaryOp::Reciprocal => each(x, |x| 1.0 / x),
        UnaryOp::Log => each(x, f32::ln),
        UnaryOp::Sin => each(x, math::sin),
        UnaryOp::Cos => each(x, math::cos),
        UnaryOp::Relu => map(x, math::relu),
        UnaryOp::Exp => map(x, math::exp),
        UnaryOp::Erf => map(x, math::erf),
        UnaryOp::Tanh => map(x, math::tanh),
        UnaryOp::Sigmoid => map(x, math::sigmoid),
        UnaryOp::Gelu => map(x, math::gelu()),
        UnaryOp::GeluTanh => map(x, math::gelu_tanh()),
    }
}

#[inline(always)]
fn each(x: &mut [f32], f: impl Fn(f32) -> f32) {
    x.iter_mut().for_each(|x| *x = f(*x));
}
