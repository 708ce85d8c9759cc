//! Where a build with `relaxed-simd` uses other instructions. For the counterpart see `strict.rs`.

use core::arch::wasm32::*;

/// Whether there are dot products of bytes.
pub(crate) const BYTE_DOTS: bool = true;
/// Whether they are faster than that of `i16`.
pub(crate) const FAST_BYTE_DOTS: bool = true;

/// `a * b + c`, fused where the processor can. The compiler never forms this instruction by itself.
#[inline(always)]
pub(super) fn mul_add(a: v128, b: v128, c: v128) -> v128 {
    f32x4_relaxed_madd(a, b, c)
}

/// Lanes of `yes` where `mask` is all ones and of `no` where it is all zeros; a single instruction on x86 too.
#[inline(always)]
pub(super) fn select(yes: v128, no: v128, mask: v128) -> v128 {
    i32x4_relaxed_laneselect(yes, no, mask)
}

// With `relaxed-simd` LLVM 22 turns `f32x4.pmin`, `f32x4.pmax` and every compare-and-select that means the same into
// `f32x4.relaxed_min` and `relaxed_max`, whose result is up to the engine if an operand is NaN (llvm-project#177814).
// A lane select is opaque to it. For the same reason no kernel leaves minima or maxima to auto-vectorisation.

/// `if b < a { b } else { a }` in each lane.
#[inline(always)]
pub(super) fn min(a: v128, b: v128) -> v128 {
    select(b, a, f32x4_lt(b, a))
}

/// `if a < b { b } else { a }` in each lane.
#[inline(always)]
pub(super) fn max(a: v128, b: v128) -> v128 {
    select(b, a, f32x4_lt(a, b))
}

/// Adds four products of bytes to each lane of `sum`. Those of `a` are signed. Whether those of `b` are is the
/// engine's choice, made for the processor; the caller has found out.
#[inline(always)]
pub(super) fn dot_add(a: v128, b: v128, _signed: bool, sum: v128) -> v128 {
    i32x4_relaxed_dot_i8x16_i7x16_add(a, b, sum)
}

/// Sums of two products of bytes. Those of `a` are signed; of `b`, and of sums beyond an `i16`, the same holds.
#[inline(always)]
pub(super) fn dot_pairs(a: v128, b: v128) -> v128 {
    i16x8_relaxed_dot_i8x16_i7x16(a, b)
}
