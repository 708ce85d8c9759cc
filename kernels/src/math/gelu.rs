//! GELU, `x * phi(x)` with `phi` the cumulative normal distribution.
//!
//! Any function that climbs from 0 to 1 is `sigmoid(l)` of its own log-odds `l`. Those of `phi` are odd and almost
//! cubic: the well-known "tanh" GELU takes them to be `2 sqrt(2 / pi) (x + 0.044715 x^3)` outright. Seven
//! coefficients instead of two make `phi` exact to 4e-8, so both variants are one formula, `x / (1 + e^-l(x))`, with
//! different polynomials. The error is small on the negative tail too, where `1 + erf` cancels.
//!
//! Largest error: 1.17e-7 of `max(1, |x|)`, of the "tanh" variant 8.7e-8.
//!
//! Tried and lost: a rational `erf` needs fewer instructions, but its error in `f32` is twice as large.

use super::exp_bounded;
use crate::arch::F32x4;
use crate::vector::FloatVector;

/// Here `phi` is 1 to an `f32`, and `1 - phi` is negligible.
pub(super) const NORMAL_BOUND: f32 = 6.5;

/// `ln(phi / (1 - phi))` for `|x| <= NORMAL_BOUND`; good for `phi` up to 6 and large enough beyond.
#[inline(always)]
pub(super) fn normal_log_odds(x: F32x4) -> F32x4 {
    let coefficients =
        [1.595_770_1, 0.072_665_19, -6.408_651e-5, -1.110_863_1e-4, 8.018_374_5e-6, -2.717_872_6e-7, 3.721_058_6e-9];
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

/// `x * sigmoid(log_odds(x))`. Beyond `bound`, where it no longer matters, `|x|` counts as `bound`; the log-odds there
/// are below 88.
///
/// Written as `max(x, 0)` less `|x| * sigmoid(-log_odds(|x|))`, which is at most 0.17: so the rounding errors of the
/// exponential are errors of a small number, and the result is nearly the nearest `f32`.
#[inline(always)]
fn weighted(x: F32x4, bound: f32, log_odds: impl Fn(F32x4) -> F32x4) -> F32x4 {
    let a = x.abs().min(F32x4::splat(bound));
    let less = a / (F32x4::splat(1.0) + exp_bounded(log_odds(a)));
    x.max(F32x4::splat(0.0)) - less
}
