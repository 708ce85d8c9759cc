//! WebAssembly's fixed-width SIMD. Each operation is one instruction, except those that [`variant`] picks per build.

use super::variant;
use crate::vector::{ByteVector, FloatVector, IntVector, LANES, ShortVector};
use core::arch::wasm32::*;
use std::mem::transmute;
use std::ops::{Add, Div, Mul, Sub};

pub(crate) use variant::{BYTE_DOTS, FAST_BYTE_DOTS};

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct F32x4(v128);

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct I32x4(v128);

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct I16x8(v128);

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct I8x16(v128);

macro_rules! operators {
    ($($type:ident: $trait:ident::$method:ident = $instruction:ident;)*) => {$(
        impl $trait for $type {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                $type($instruction(self.0, other.0))
            }
        }
    )*};
}

operators! {
    F32x4: Add::add = f32x4_add;
    F32x4: Sub::sub = f32x4_sub;
    F32x4: Mul::mul = f32x4_mul;
    F32x4: Div::div = f32x4_div;
    I32x4: Add::add = i32x4_add;
    I32x4: Sub::sub = i32x4_sub;
    I32x4: Mul::mul = i32x4_mul;
    I16x8: Add::add = i16x8_add;
}

impl FloatVector for F32x4 {
    type Int = I32x4;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        F32x4(f32x4_splat(x))
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: sixteen bytes are readable by contract; the instruction takes any alignment.
        F32x4(unsafe { v128_load(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_in_order(from: *const f32) -> Self {
        #[repr(C, packed)]
        struct Unaligned(v128);
        // SAFETY: sixteen bytes are readable by contract; the type takes any alignment.
        F32x4(unsafe { from.cast::<Unaligned>().read_volatile() }.0)
    }

    #[inline(always)]
    unsafe fn load_splat(from: *const f32) -> Self {
        // SAFETY: four bytes are readable by contract.
        F32x4(unsafe { v128_load32_splat(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: sixteen bytes are writable by contract; the instruction takes any alignment.
        unsafe { v128_store(to.cast(), self.0) }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        F32x4(variant::mul_add(self.0, b.0, c.0))
    }

    #[inline(always)]
    fn fused_mul_add(self, b: Self, c: Self) -> Self {
        let low = |x: F32x4| f64x2_promote_low_f32x4(x.0);
        let high = |x: F32x4| f64x2_promote_low_f32x4(i64x2_shuffle::<1, 1>(x.0, x.0));
        let fused =
            |part: fn(F32x4) -> v128| f32x4_demote_f64x2_zero(f64x2_add(f64x2_mul(part(self), part(b)), part(c)));
        F32x4(i64x2_shuffle::<0, 2>(fused(low), fused(high)))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        F32x4(variant::min(self.0, other.0))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        F32x4(variant::max(self.0, other.0))
    }

    #[inline(always)]
    fn minimum(self, other: Self) -> Self {
        F32x4(f32x4_min(self.0, other.0))
    }

    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        F32x4(f32x4_max(self.0, other.0))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        F32x4(f32x4_abs(self.0))
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        F32x4(v128_bitselect(sign.0, self.0, u32x4_splat(1 << 31)))
    }

    #[inline(always)]
    fn select_lt(self, bound: Self, yes: Self, no: Self) -> Self {
        F32x4(variant::select(yes.0, no.0, f32x4_lt(self.0, bound.0)))
    }

    #[inline(always)]
    fn to_bits(self) -> I32x4 {
        I32x4(self.0)
    }

    #[inline(always)]
    fn from_bits(bits: I32x4) -> Self {
        F32x4(bits.0)
    }

    #[inline(always)]
    fn from_int(x: I32x4) -> Self {
        F32x4(f32x4_convert_i32x4(x.0))
    }

    #[inline(always)]
    fn from_array(lanes: [f32; LANES]) -> Self {
        // SAFETY: the array is sixteen readable bytes.
        F32x4(unsafe { v128_load(lanes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        // SAFETY: both are sixteen bytes, lane 0 first, and every bit pattern is an f32.
        unsafe { transmute(self.0) }
    }
}

impl IntVector for I32x4 {
    #[inline(always)]
    fn splat(x: i32) -> Self {
        I32x4(i32x4_splat(x))
    }

    #[inline(always)]
    unsafe fn load_extend(from: *const i16) -> Self {
        // SAFETY: eight bytes are readable by contract; the instruction takes any alignment.
        I32x4(unsafe { i32x4_load_extend_i16x4(from) })
    }

    #[inline(always)]
    fn from_array(lanes: [i32; LANES]) -> Self {
        // SAFETY: the array is sixteen readable bytes.
        I32x4(unsafe { v128_load(lanes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn to_array(self) -> [i32; LANES] {
        // SAFETY: both are sixteen bytes, lane 0 first.
        unsafe { transmute(self.0) }
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        I32x4(v128_and(self.0, other.0))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        I32x4(v128_xor(self.0, other.0))
    }

    #[inline(always)]
    fn from_bytes(bytes: [u8; 4 * LANES]) -> Self {
        // SAFETY: the array is sixteen readable bytes.
        I32x4(unsafe { v128_load(bytes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn transpose([a, b, c, d]: [Self; LANES]) -> [Self; LANES] {
        let zip = |a: Self, b: Self| (i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0), i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0));
        let ((ab, ab_high), (cd, cd_high)) = (zip(a, b), zip(c, d));
        let pair = |ab, cd| [I32x4(i64x2_shuffle::<0, 2>(ab, cd)), I32x4(i64x2_shuffle::<1, 3>(ab, cd))];
        let ([e, f], [g, h]) = (pair(ab, cd), pair(ab_high, cd_high));
        [e, f, g, h]
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: sixteen bytes are writable by contract; the instruction takes any alignment.
        unsafe { v128_store(to.cast(), self.0) }
    }

    #[inline(always)]
    fn shl<const BITS: u32>(self) -> Self {
        I32x4(i32x4_shl(self.0, BITS))
    }

    #[inline(always)]
    fn shr<const BITS: u32>(self) -> Self {
        I32x4(i32x4_shr(self.0, BITS))
    }

    #[inline(always)]
    fn narrow([a, b, c, d]: [Self; 4]) -> [u8; 4 * LANES] {
        let bytes = u8x16_narrow_i16x8(i16x8_narrow_i32x4(a.0, b.0), i16x8_narrow_i32x4(c.0, d.0));
        // SAFETY: both are sixteen bytes, lane 0 first.
        unsafe { transmute(bytes) }
    }
}

impl ShortVector for I16x8 {
    type Int = I32x4;

    #[inline(always)]
    fn splat(x: i16) -> Self {
        I16x8(i16x8_splat(x))
    }

    #[inline(always)]
    unsafe fn load(from: *const i16) -> Self {
        // SAFETY: sixteen bytes are readable by contract; the instruction takes any alignment.
        I16x8(unsafe { v128_load(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_extend(from: *const i8) -> Self {
        // SAFETY: eight bytes are readable by contract.
        I16x8(unsafe { i16x8_load_extend_i8x8(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i16) {
        // SAFETY: sixteen bytes are writable by contract; the instruction takes any alignment.
        unsafe { v128_store(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn load_pair_splat(from: *const i16) -> Self {
        // SAFETY: four bytes are readable by contract; the instruction takes any alignment.
        I16x8(unsafe { v128_load32_splat(from.cast()) })
    }

    #[inline(always)]
    fn dot(self, other: Self) -> I32x4 {
        I32x4(i32x4_dot_i16x8(self.0, other.0))
    }

    #[inline(always)]
    fn to_array(self) -> [i16; 8] {
        // SAFETY: both are sixteen bytes, lane 0 first.
        unsafe { transmute(self.0) }
    }
}

impl ByteVector for I8x16 {
    type Short = I16x8;
    type Int = I32x4;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: sixteen bytes are readable by contract; the instruction takes any alignment.
        I8x16(unsafe { v128_load(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_quad_splat(from: *const u8) -> Self {
        // SAFETY: four bytes are readable by contract; the instruction takes any alignment.
        I8x16(unsafe { v128_load32_splat(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_halves(low: *const u8, high: *const u8) -> Self {
        // SAFETY: eight bytes are readable at both by contract; the instructions take any alignment.
        I8x16(unsafe { v128_load64_lane::<1>(v128_load64_zero(low.cast()), high.cast()) })
    }

    #[inline(always)]
    fn splat(x: u8) -> Self {
        I8x16(u8x16_splat(x))
    }

    #[inline(always)]
    fn to_array(self) -> [u8; 16] {
        // SAFETY: both are sixteen bytes, the first one first.
        unsafe { transmute(self.0) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        I8x16(i8x16_sub(self.0, other.0))
    }

    #[inline(always)]
    fn add_saturated(self, other: Self) -> Self {
        I8x16(u8x16_add_sat(self.0, other.0))
    }

    #[inline(always)]
    fn sub_saturated(self, other: Self) -> Self {
        I8x16(u8x16_sub_sat(self.0, other.0))
    }

    #[inline(always)]
    fn magnitudes(self) -> [Self; 2] {
        let positive = i8x16_max(self.0, i8x16_splat(0));
        // Zero or the number less itself: -128 becomes 128, as it shall.
        [I8x16(positive), I8x16(i8x16_sub(positive, self.0))]
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        I8x16(u8x16_max(self.0, other.0))
    }

    #[inline(always)]
    fn swap_halves(self) -> Self {
        I8x16(i64x2_shuffle::<1, 0>(self.0, self.0))
    }

    #[inline(always)]
    fn are_zero(self) -> [bool; 2] {
        [u64x2_extract_lane::<0>(self.0) == 0, u64x2_extract_lane::<1>(self.0) == 0]
    }

    #[inline(always)]
    fn zip(self, other: Self) -> [Self; 2] {
        let (a, b) = (self.0, other.0);
        let low = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
        let high = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b);
        [I8x16(low), I8x16(high)]
    }

    #[inline(always)]
    fn zip_pairs(self, other: Self) -> [Self; 2] {
        let low = i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(self.0, other.0);
        let high = i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(self.0, other.0);
        [I8x16(low), I8x16(high)]
    }

    #[inline(always)]
    fn sum_pairs(self) -> I16x8 {
        I16x8(i16x8_extadd_pairwise_i8x16(self.0))
    }

    #[inline(always)]
    fn dot_add(self, other: Self, signed: bool, sum: I32x4) -> I32x4 {
        I32x4(variant::dot_add(self.0, other.0, signed, sum.0))
    }

    #[inline(always)]
    fn dot_pairs(self, other: Self) -> I16x8 {
        I16x8(variant::dot_pairs(self.0, other.0))
    }
}
