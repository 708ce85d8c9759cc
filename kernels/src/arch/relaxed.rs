//! Where a build with `relaxed-simd` uses other instructions. For the counterpart see `strict.rs`.

use core::arch::wasm32::*;

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
