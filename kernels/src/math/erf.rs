//! The error function, `erf x = 2 phi(sqrt 2 x) - 1`.
//!
//! With `l` the log-odds of `phi` (see `gelu.rs`) that is `tanh(l / 2)`, which stays accurate near zero. The hyperbolic
//! tangent is left to the caller, who has one.
//!
//! Largest error: 1.96e-7.

use super::gelu::{NORMAL_BOUND, normal_log_odds};
use crate::arch::F32x4;
use crate::vector::FloatVector;
use std::f32::consts::SQRT_2;

/// Of which `2 / sqrt(pi) * integral of e^(-t^2) over 0..x`, for every `x`, is the hyperbolic tangent.
#[inline]
pub(crate) fn atanh_erf(x: F32x4) -> F32x4 {
    let bound = F32x4::splat(NORMAL_BOUND);
    let x = (x * F32x4::splat(SQRT_2)).min(bound).max(F32x4::splat(-NORMAL_BOUND));
    normal_log_odds(x) * F32x4::splat(0.5)
}
