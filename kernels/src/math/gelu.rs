//! GELU, `x * phi(x)` with `phi` the cumulative normal distribution.
//!
//! Any function that climbs from 0 to 1 is `sigmoid(l)` of its own log-odds `l`. Those of `phi` are odd and almost
//! cubic: the well-known "tanh" GELU takes them to be `2 sqrt(2 / pi) (x + 0.044715 x^3)` outright. Seven
//! coefficients instead of two make `phi` exact to 3e-8, so both variants are one formula, `x / (1 + e^-l(x))`, with
//! different polynomials. The error is small on the negative tail too, where `1 + erf` cancels.
//!
//! Largest error: 1.57e-7 of `max(1, |x|)`, of the "tanh" variant 1.23e-7.
//!
//! Tried and lost: a rational `erf` needs fewer instructions, but its error in `f32` is twice as large.

use super::exp_bounded;
use crate::arch::F32x4;
use crate::vector::FloatVector;

/// Here `phi` is 1 to an `f32`, and `1 - phi` is negligible.
pub(super) const NORMAL_BOUND: f32 = 7.0;

/// `ln(phi / (1 - phi))` for `|x| <= NORMAL_BOUND`; good for `phi` up to 6 and large enough beyond.
#[inline(always)]
pub(super) fn normal_log_odds(x: F32x4) -> F32x4 {
    let coefficients =
        [1.595_769_5, 0.072_667_82, -6.693_837e-5, -1.099_097_9e-4, 7.805_98e-6, -2.550_472_4e-7, 3.255_753_7e-9];
    x * (x * x).polynomial(coefficients)
}

/// `x / 2 * (1 + erf(x / sqrt 2))` for every `x`; zero at minus infinity, which is the limit.
#[inline(always)]
pub(crate) fn gelu(x: F32x4) -> F32x4 {
    weighted(x, NORMAL_BOUND, normal_log_odds)
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))` for every `x`; zero at minus infinity, which is the limit.
#[inline(always)]
pub(crate) fn gelu_tanh(x: F32x4) -> F32x4 {
    const TWO_SQRT_2_OVER_PI: f32 = 1.595_769_2;
    weighted(x, 10.0, |x| x * (x * x).polynomial([TWO_SQRT_2_OVER_PI, TWO_SQRT_2_OVER_PI * 0.044_715]))
}

/// `x * sigmoid(log_odds(x))`, with `x` held within `bound` where it no longer matters; there the log-odds are below
/// 88.
#[inline(always)]
fn weighted(x: F32x4, bound: f32, log_odds: impl Fn(F32x4) -> F32x4) -> F32x4 {
    let x = x.max(F32x4::splat(-bound));
    let l = log_odds(x.min(F32x4::splat(bound)));
    x / (F32x4::splat(1.0) + exp_bounded(F32x4::splat(0.0) - l))
}
