//! `tanh x`.
//!
//! `1 - 2 / (e^2|x| + 1)` is accurate where the fraction is small against one, and cancels near zero. Below 0.625 an
//! odd polynomial takes over: `|x| + |x|^3 p(x^2)`, to 5e-9 of the value. Both are computed and one is selected.
//!
//! Largest error: 1.37 ulp.
//!
//! Tried and lost: one rational function on `0..=9` saves a third of the instructions, but its rounding errors add up
//! to 6 ulp.

use super::exp_bounded;
use crate::arch::F32x4;
use crate::vector::FloatVector;

/// The hyperbolic tangent for every `x`.
#[inline(always)]
pub(crate) fn tanh(x: F32x4) -> F32x4 {
    let one = F32x4::splat(1.0);
    let a = x.abs();
    let square = a * a;
    let p = square.polynomial(&[-0.333_332_8, 0.133_314_42, -0.053_739_715, 0.020_639_086, -0.005_704_985_5]);
    let near = p.mul_add(square * a, a);
    // At 10 the fraction is below half an ulp of one.
    let power = exp_bounded((a + a).min(F32x4::splat(20.0)));
    let far = one - F32x4::splat(2.0) / (power + one);
    a.select_lt(F32x4::splat(0.625), near, far).copysign(x)
}
