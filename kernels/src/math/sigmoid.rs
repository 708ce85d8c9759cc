//! `1 / (1 + e^-x)`.
//!
//! Largest error: 9.0e-8. Results below 2^-128 become zero, since their `e^-x` overflows.

use super::exp;
use crate::arch::F32x4;
use crate::vector::FloatVector;

/// The logistic function for every `x`.
#[inline]
pub(crate) fn sigmoid(x: F32x4) -> F32x4 {
    let one = F32x4::splat(1.0);
    one / (one + exp(F32x4::splat(0.0) - x))
}
