//! Where a build without `relaxed-simd` uses other instructions. For the counterpart see `relaxed.rs`.

use core::arch::wasm32::*;

/// Whether there are dot products of bytes. What stands below in their place would be slower than that of `i16`, so no
/// mode uses it and it is not compiled.
pub(crate) const BYTE_DOTS: bool = false;
/// Whether they are faster than that of `i16`.
pub(crate) const FAST_BYTE_DOTS: bool = false;

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

/// Adds four products of bytes to each lane of `sum`. Those of `a` are signed, those of `b` as `signed` says.
#[inline(always)]
pub(super) fn dot_add(a: v128, b: v128, signed: bool, sum: v128) -> v128 {
    let (low, high) = match signed {
        true => (i16x8_extend_low_i8x16(b), i16x8_extend_high_i8x16(b)),
        false => (i16x8_extend_low_u8x16(b), i16x8_extend_high_u8x16(b)),
    };
    let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(a), low);
    let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(a), high);
    let (even, odd) = (i32x4_shuffle::<0, 2, 4, 6>(low, high), i32x4_shuffle::<1, 3, 5, 7>(low, high));
    i32x4_add(sum, i32x4_add(even, odd))
}

/// Sums of two products of bytes, saturated. Those of `a` are signed, those of `b` unsigned.
#[inline(always)]
pub(super) fn dot_pairs(a: v128, b: v128) -> v128 {
    i16x8_narrow_i32x4(
        i32x4_dot_i16x8(i16x8_extend_low_i8x16(a), i16x8_extend_low_u8x16(b)),
        i32x4_dot_i16x8(i16x8_extend_high_i8x16(a), i16x8_extend_high_u8x16(b)),
    )
}
