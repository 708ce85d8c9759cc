//! `e^x`.
//!
//! With `n = round(x / ln 2)` and `r = x - n ln 2`, `e^x = 2^n e^r` where `|r| <= ln 2 / 2`. A polynomial of degree
//! six gives `e^r` to 3e-9, and `2^n` is an exponent put together from integer bits. `ln 2` is subtracted in two
//! parts, the first so short that `n` times it is exact even without a fused multiply-add.
//!
//! Adding `1.5 * 2^23` to a small number rounds it to an integer, which then stands in the low bits of the sum: that
//! is `n`, as a float and as an integer, for one addition.
//!
//! Largest error: 1.18 ulp, and 0.90 ulp with a fused multiply-add.

use crate::arch::{F32x4, I32x4};
use crate::vector::{FloatVector, IntVector};
use std::f32::consts::LOG2_E;

/// `1.5 * 2^23`; the low nine bits are zero.
const ROUND: f32 = 12_582_912.0;

/// The constants, for those who want them in memory (see `gelu.rs`).
#[repr(C)]
pub(super) struct Constants {
    log2_e: f32,
    round: f32,
    minus_ln_2: [f32; 2],
    /// From one on.
    pub power: [f32; 7],
}

pub(super) const CONSTANTS: Constants = Constants {
    log2_e: LOG2_E,
    round: ROUND,
    minus_ln_2: [-0.693_359_4, 2.121_944_4e-4], // -355 / 512, and the rest
    power: [1.0, 1.0, 0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_745, 0.001_381_454],
};

/// Sign, then eight bits of exponent, then this many bits of fraction.
const FRACTION_BITS: u32 = 23;
const EXPONENT_BIAS: i32 = 127;

/// `e^r` and the bits of `n + ROUND`, where `x = n ln 2 + r`.
#[inline(always)]
fn reduce(x: F32x4, constants: &Constants) -> (F32x4, I32x4) {
    let round = F32x4::splat(constants.round);
    let rounded = x.mul_add(F32x4::splat(constants.log2_e), round);
    let n = rounded - round;
    let [high, low] = constants.minus_ln_2.map(F32x4::splat);
    let r = n.mul_add(low, n.mul_add(high, x));
    (r.polynomial(&constants.power), rounded.to_bits())
}

/// `2^n` for `n` in `-126..=127`, zero for -127. Only the low nine bits of `n` count.
#[inline(always)]
fn power_of_two(n: I32x4) -> F32x4 {
    F32x4::from_bits(n.shl::<FRACTION_BITS>() + I32x4::splat(EXPONENT_BIAS << FRACTION_BITS))
}

/// `e^x` for every `x`, with gradual underflow.
#[inline]
pub(crate) fn exp(x: F32x4) -> F32x4 {
    // Beyond these bounds the result is zero or infinity.
    let x = x.max(F32x4::splat(-104.0)).min(F32x4::splat(89.0));
    let (power, bits) = reduce(x, &CONSTANTS);
    // The exponent range of the result is wider than that of one factor 2^n: from 2^-150 to 2^128.
    let n = bits - I32x4::splat(ROUND.to_bits() as i32);
    let half = n.shr::<1>();
    power * power_of_two(half) * power_of_two(n - half)
}

/// `e^x` for `x <= 88`, with zero instead of results below 2^-126.
#[inline(always)]
pub(crate) fn exp_flush(x: F32x4) -> F32x4 {
    exp_bounded(x.max(F32x4::splat(-88.0)))
}

/// `e^x` for `-88 <= x <= 88`, with zero instead of results below 2^-126. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp_bounded(x: F32x4) -> F32x4 {
    let (power, n) = reduce(x, &CONSTANTS);
    power * power_of_two(n)
}

/// `e^x` for `0 <= x <= 88`, with [`CONSTANTS`] from elsewhere. NaN stays NaN.
#[inline(always)]
pub(super) fn exp_positive(x: F32x4, constants: &Constants) -> F32x4 {
    let (power, n) = reduce(x, constants);
    // Nothing is too small or too large: the exponents add up.
    F32x4::from_bits(power.to_bits() + n.shl::<FRACTION_BITS>())
}
