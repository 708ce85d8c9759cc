//! Element-wise functions of one tensor.
//!
//! Those that transformers spend time in are the activations of an [`Epilogue`], which this calls. For the rest one loop
//! calls a function for each vector, and all of it is `#[inline]`: compiled, for size, with the crate that calls it.

use crate::Activation;
use crate::arch::F32x4;
use crate::gemm::Epilogue;
use crate::math;
use crate::parallel::{Grid, for_each_chunk, part};
use crate::slices::{load, starts, store};
use crate::vector::FloatVector;

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
    /// `x / 2 * (1 + erf(x / 1.4140625))`, within 2e-7 of `max(1, |x|)`; the root is that of half floats.
    GeluHalf,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`, within 2e-7 of `max(1, |x|)`.
    GeluTanh,
    /// Rounded to the 11 significant bits of a half float, ties to even. The range stays that of `f32`: what would be
    /// infinite stays finite, and what is below 2^-14 keeps its bits as well. The NaN that arithmetic makes stays NaN.
    Half,
}

/// An element takes as long as so many multiply-adds.
const WORK: usize = 16;

/// Applies `op` to every element of `x` in place.
#[inline]
pub fn apply(op: UnaryOp, x: &mut [f32]) {
    let work = x.len().saturating_mul(WORK);
    for_each_chunk(x, part(x.len(), 16, work), work, |_, x| apply_here(op, x));
}

#[inline]
fn apply_here(op: UnaryOp, x: &mut [f32]) {
    let activation = match op {
        UnaryOp::Abs => return each(x, F32x4::abs),
        UnaryOp::Neg => return each(x, |x| lanes(x, |x| -x)),
        UnaryOp::Sign => return each(x, |x| lanes(x, |x| if x == 0.0 || x.is_nan() { x } else { 1f32.copysign(x) })),
        UnaryOp::Ceil => return each(x, |x| lanes(x, f32::ceil)),
        UnaryOp::Floor => return each(x, |x| lanes(x, f32::floor)),
        UnaryOp::Sqrt => return each(x, |x| lanes(x, f32::sqrt)),
        UnaryOp::Reciprocal => return each(x, |x| F32x4::splat(1.0) / x),
        UnaryOp::Log => return each(x, |x| lanes(x, f32::ln)),
        UnaryOp::Sin => return each(x, |x| lanes(x, math::sin)),
        UnaryOp::Cos => return each(x, |x| lanes(x, math::cos)),
        UnaryOp::Exp => return each(x, math::exp),
        UnaryOp::Sigmoid => return each(x, math::sigmoid),
        UnaryOp::Half => return each(x, math::half),
        UnaryOp::Erf => {
            each(x, math::atanh_erf);
            Activation::Tanh
        }
        UnaryOp::Tanh => Activation::Tanh,
        UnaryOp::Relu => Activation::Relu,
        UnaryOp::Gelu => Activation::Gelu,
        UnaryOp::GeluHalf => Activation::GeluHalf,
        UnaryOp::GeluTanh => Activation::GeluTanh,
    };
    let width = x.len();
    Epilogue { activation, ..Epilogue::default() }.apply(&mut Grid::new(x, 0), 0, 1, 0, width);
}

/// Applies `f` to every element.
#[inline]
pub(crate) fn each(x: &mut [f32], f: fn(F32x4) -> F32x4) {
    for at in starts(x.len()) {
        let y = f(load(x, at, 0.0));
        store(x, at, y);
    }
}

/// Applies `f` to every lane.
#[inline]
pub(crate) fn lanes(x: F32x4, f: fn(f32) -> f32) -> F32x4 {
    F32x4::from_array(x.to_array().map(f))
}
