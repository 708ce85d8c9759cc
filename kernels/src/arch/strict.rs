//! Where a build without `relaxed-simd` uses other instructions. For the counterpart see `relaxed.rs`.

use core::arch::wasm32::*;

/// `a * b + c` with two roundings.
#[inline(always)]
pub(super) fn mul_add(a: v128, b: v128, c: v128) -> v128 {
    f32x4_add(f32x4_mul(a, b), c)
}

/// Lanes of `yes` where `mask` is all ones and of `no` where it is all zeros.
#[inline(always)]
pub(super) fn select(yes: v128, no: v128, mask: v128) -> v128 {
    v128_bitselect(yes, no, mask)
}

/// `if b < a { b } else { a }` in each lane; a single instruction on x86 too, unlike `f32x4.min`.
#[inline(always)]
pub(super) fn min(a: v128, b: v128) -> v128 {
    f32x4_pmin(a, b)
}

/// `if a < b { b } else { a }` in each lane; a single instruction on x86 too, unlike `f32x4.max`.
#[inline(always)]
pub(super) fn max(a: v128, b: v128) -> v128 {
    f32x4_pmax(a, b)
}
