//! GELU, `x * phi(x)` with `phi` the cumulative normal distribution.
//!
//! Any function that climbs from 0 to 1 is `sigmoid(l)` of its own log-odds `l`. Those of `phi` are odd and almost
//! cubic: the well-known "tanh" GELU takes them to be `2 sqrt(2 / pi) (x + 0.044715 x^3)` outright. Seven
//! coefficients instead of two make `phi` exact to 4e-8, so both variants are one formula, `x / (1 + e^-l(x))`, with
//! different polynomials. The error is small on the negative tail too, where `1 + erf` cancels.
//!
//! Largest error: 1.17e-7 of `max(1, |x|)`, of the "tanh" variant 8.7e-8.
//!
//! The constants are read from memory, at a place that the compiler does not know. It would make each anew in every round
//! of a loop otherwise, or so would the engine, in four instructions; or there are too many of them for the registers,
//! they are stored on the stack, and where that is not aligned every access takes twice as long. Measured in V8: 1.7 ns
//! for an element instead of 2.1 to 2.9 with relaxed SIMD, 2.5 instead of 2.7 to 3.9 without.
//!
//! Tried and lost: a rational `erf` needs fewer instructions, but its error in `f32` is twice as large.

use super::exp::{CONSTANTS, Constants, exp_positive};
use crate::arch::F32x4;
use crate::vector::FloatVector;
use std::hint::black_box;

/// Here `phi` is 1 to an `f32`, and `1 - phi` is negligible.
pub(super) const NORMAL_BOUND: f32 = 6.5;

const NORMAL_LOG_ODDS: [f32; 7] =
    [1.595_770_1, 0.072_665_19, -6.408_651e-5, -1.110_863_1e-4, 8.018_374_5e-6, -2.717_872_6e-7, 3.721_058_6e-9];

/// `ln(phi / (1 - phi))` for `|x| <= NORMAL_BOUND`; good for `phi` up to 6 and large enough beyond.
#[inline(always)]
pub(super) fn normal_log_odds(x: F32x4) -> F32x4 {
    x * (x * x).polynomial(&NORMAL_LOG_ODDS)
}

/// A function `x * sigmoid(log_odds(x))`.
struct Weighted<const N: usize> {
    /// Beyond it, where it no longer matters, `|x|` counts as this; the log-odds there are below 88.
    bound: f32,
    /// Coefficients of the odd powers.
    log_odds: [f32; N],
    exp: Constants,
}

/// The same of `s x`, with s the square root of 2 over what it is in half floats.
const fn of_half() -> [f32; 7] {
    let s = std::f64::consts::SQRT_2 / 1.414_062_5;
    let (mut scaled, mut power, mut i) = (NORMAL_LOG_ODDS, s, 0);
    while i < scaled.len() {
        scaled[i] = (NORMAL_LOG_ODDS[i] as f64 * power) as f32;
        power *= s * s;
        i += 1;
    }
    scaled
}

static GELU: Weighted<7> = Weighted { bound: NORMAL_BOUND, log_odds: NORMAL_LOG_ODDS, exp: CONSTANTS };

const TWO_SQRT_2_OVER_PI: f32 = 1.595_769_2;
static GELU_HALF: Weighted<7> = Weighted { bound: NORMAL_BOUND, log_odds: of_half(), exp: CONSTANTS };
static GELU_TANH: Weighted<2> =
    Weighted { bound: 10.0, log_odds: [TWO_SQRT_2_OVER_PI, TWO_SQRT_2_OVER_PI * 0.044_715], exp: CONSTANTS };

/// `x / 2 * (1 + erf(x / sqrt 2))` for every `x`; zero at minus infinity, which is the limit. The root is exact, or
/// `of_half` floats.
#[inline(always)]
pub(crate) fn gelu(of_half: bool) -> impl Fn(F32x4) -> F32x4 {
    if of_half { &GELU_HALF } else { &GELU }.function()
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))` for every `x`; zero at minus infinity, which is the limit.
#[inline(always)]
pub(crate) fn gelu_tanh() -> impl Fn(F32x4) -> F32x4 {
    GELU_TANH.function()
}

impl<const N: usize> Weighted<N> {
    /// Written as `max(x, 0)` less `|x| * sigmoid(-log_odds(|x|))`, which is at most 0.17: so the rounding errors of the
    /// exponential are errors of a small number, and the result is nearly the nearest `f32`.
    #[inline(always)]
    fn function(&'static self) -> impl Fn(F32x4) -> F32x4 {
        let Weighted { bound, log_odds, exp } = black_box(self);
        |x| {
            let a = x.abs().min(F32x4::splat(*bound));
            let odds = exp_positive(a * (a * a).polynomial(log_odds), exp);
            x.max(F32x4::splat(0.0)) - a / (F32x4::splat(exp.power[0]) + odds)
        }
    }
}
