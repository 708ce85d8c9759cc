//! Transcendental functions of vectors, one family a file.
//!
//! Each file states the formula, the range and the largest error on any instruction set, found by the exhaustive
//! sweep in `tests/properties/unary.rs` (ignored by default). An "ulp" is the distance between neighbouring `f32` at
//! the exact result.

mod erf;
mod exp;
mod gelu;
mod sigmoid;
mod sin_cos;
mod tanh;

pub(crate) use erf::atanh_erf;
pub(crate) use exp::{exp, exp_bounded, exp_flush};
pub(crate) use gelu::{gelu, gelu_tanh};
pub(crate) use sigmoid::sigmoid;
pub(crate) use sin_cos::{cos, sin};
pub(crate) use tanh::tanh;

use crate::arch::{F32x4, I32x4};
use crate::vector::{FloatVector, IntVector};

/// `max(x, 0)`; NaN stays NaN.
#[inline(always)]
pub(crate) fn relu(x: F32x4) -> F32x4 {
    x.max(F32x4::splat(0.0))
}

/// `x` with 11 significant bits.
#[inline(always)]
pub(crate) fn half(x: F32x4) -> F32x4 {
    let bits = x.to_bits();
    let is_odd = bits.shr::<13>().and(I32x4::splat(1));
    F32x4::from_bits((bits + I32x4::splat(0xfff) + is_odd).and(I32x4::splat(!0x1fff)))
}
