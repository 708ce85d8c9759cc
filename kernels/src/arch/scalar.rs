//! Plain Rust on arrays, for native targets and for WebAssembly without SIMD.
//!
//! The arrays have the size of a vector register and every operation is a fixed loop over their lanes, which the
//! compiler turns into the vector instructions of the target.

use crate::vector::{ByteVector, FloatVector, IntVector, LANES, ShortVector};
use std::array::from_fn;
use std::ops::{Add, Div, Mul, Sub};

#[derive(Clone, Copy)]
#[repr(align(16))]
pub(crate) struct F32x4([f32; 4]);

#[derive(Clone, Copy)]
#[repr(align(16))]
pub(crate) struct I32x4([i32; 4]);

#[derive(Clone, Copy)]
#[repr(align(16))]
pub(crate) struct I16x8([i16; 8]);

#[derive(Clone, Copy)]
#[repr(align(16))]
pub(crate) struct I8x16([u8; 16]);

/// Every meaning that [`ByteVector::dot_add`] may have is emulated here, none is faster than the dot product of `i16`.
pub(crate) const FAST_BYTE_DOTS: bool = false;
/// Whether these can be had at all.
pub(crate) const BYTE_DOTS: bool = true;

macro_rules! operators {
    ($($type:ident: $trait:ident::$method:ident = $scalar:path;)*) => {$(
        impl $trait for $type {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                $type(from_fn(|i| $scalar(self.0[i], other.0[i])))
            }
        }
    )*};
}

operators! {
    F32x4: Add::add = Add::add;
    F32x4: Sub::sub = Sub::sub;
    F32x4: Mul::mul = Mul::mul;
    F32x4: Div::div = Div::div;
    I32x4: Add::add = i32::wrapping_add;
    I32x4: Sub::sub = i32::wrapping_sub;
    I32x4: Mul::mul = i32::wrapping_mul;
    I16x8: Add::add = i16::wrapping_add;
}

impl FloatVector for F32x4 {
    type Int = I32x4;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        F32x4([x; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: four values are readable by contract; an array of f32 is aligned as an f32 is.
        F32x4(unsafe { from.cast::<[f32; 4]>().read() })
    }

    #[inline(always)]
    unsafe fn load_splat(from: *const f32) -> Self {
        // SAFETY: one value is readable by contract.
        F32x4([unsafe { from.read() }; 4])
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: four values are writable by contract; an array of f32 is aligned as an f32 is.
        unsafe { to.cast::<[f32; 4]>().write(self.0) }
    }

    // Not `f32::mul_add`: without the instruction for it that is a call into a library.
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        self * b + c
    }

    #[inline(always)]
    fn fused_mul_add(self, b: Self, c: Self) -> Self {
        F32x4(from_fn(|i| (f64::from(self.0[i]) * f64::from(b.0[i]) + f64::from(c.0[i])) as f32))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        F32x4(from_fn(|i| if other.0[i] < self.0[i] { other.0[i] } else { self.0[i] }))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        F32x4(from_fn(|i| if self.0[i] < other.0[i] { other.0[i] } else { self.0[i] }))
    }

    #[inline(always)]
    fn minimum(self, other: Self) -> Self {
        F32x4(from_fn(|i| if self.0[i] < other.0[i] || self.0[i].is_nan() { self.0[i] } else { other.0[i] }))
    }

    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        F32x4(from_fn(|i| if self.0[i] > other.0[i] || self.0[i].is_nan() { self.0[i] } else { other.0[i] }))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        F32x4(self.0.map(f32::abs))
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        F32x4(from_fn(|i| self.0[i].copysign(sign.0[i])))
    }

    #[inline(always)]
    fn select_lt(self, bound: Self, yes: Self, no: Self) -> Self {
        F32x4(from_fn(|i| if self.0[i] < bound.0[i] { yes.0[i] } else { no.0[i] }))
    }

    #[inline(always)]
    fn to_bits(self) -> I32x4 {
        I32x4(self.0.map(|x| x.to_bits() as i32))
    }

    #[inline(always)]
    fn from_bits(bits: I32x4) -> Self {
        F32x4(bits.0.map(|x| f32::from_bits(x as u32)))
    }

    #[inline(always)]
    fn from_int(x: I32x4) -> Self {
        F32x4(x.0.map(|x| x as f32))
    }

    #[inline(always)]
    fn from_array(lanes: [f32; LANES]) -> Self {
        F32x4(lanes)
    }

    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        self.0
    }
}

impl IntVector for I32x4 {
    #[inline(always)]
    fn splat(x: i32) -> Self {
        I32x4([x; 4])
    }

    #[inline(always)]
    unsafe fn load_extend(from: *const i16) -> Self {
        // SAFETY: four values are readable by contract; an array of i16 is aligned as an i16 is.
        I32x4(unsafe { from.cast::<[i16; 4]>().read() }.map(i32::from))
    }

    #[inline(always)]
    fn from_array(lanes: [i32; LANES]) -> Self {
        I32x4(lanes)
    }

    #[inline(always)]
    fn to_array(self) -> [i32; LANES] {
        self.0
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        I32x4(from_fn(|i| self.0[i] & other.0[i]))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        I32x4(from_fn(|i| self.0[i] ^ other.0[i]))
    }

    #[inline(always)]
    fn from_bytes(bytes: [u8; 4 * LANES]) -> Self {
        I32x4(from_fn(|i| i32::from_le_bytes(bytes.as_chunks().0[i])))
    }

    #[inline(always)]
    fn transpose(vectors: [Self; LANES]) -> [Self; LANES] {
        from_fn(|i| I32x4(vectors.map(|vector| vector.0[i])))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: four values are writable by contract; an array of i32 is aligned as an i32 is.
        unsafe { to.cast::<[i32; 4]>().write(self.0) }
    }

    #[inline(always)]
    fn shl<const BITS: u32>(self) -> Self {
        I32x4(self.0.map(|x| x << BITS))
    }

    #[inline(always)]
    fn shr<const BITS: u32>(self) -> Self {
        I32x4(self.0.map(|x| x >> BITS))
    }

    #[inline(always)]
    fn narrow(vectors: [Self; 4]) -> [u8; 4 * LANES] {
        from_fn(|i| vectors[i / LANES].0[i % LANES] as u8)
    }
}

impl ShortVector for I16x8 {
    type Int = I32x4;

    #[inline(always)]
    fn splat(x: i16) -> Self {
        I16x8([x; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const i16) -> Self {
        // SAFETY: eight values are readable by contract; an array of i16 is aligned as an i16 is.
        I16x8(unsafe { from.cast::<[i16; 8]>().read() })
    }

    #[inline(always)]
    unsafe fn load_extend(from: *const i8) -> Self {
        // SAFETY: eight values are readable by contract; bytes need no alignment.
        I16x8(unsafe { from.cast::<[i8; 8]>().read() }.map(i16::from))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i16) {
        // SAFETY: eight values are writable by contract; an array of i16 is aligned as an i16 is.
        unsafe { to.cast::<[i16; 8]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn load_pair_splat(from: *const i16) -> Self {
        // SAFETY: two values are readable by contract; an array of i16 is aligned as an i16 is.
        let pair = unsafe { from.cast::<[i16; 2]>().read() };
        I16x8(from_fn(|i| pair[i % 2]))
    }

    #[inline(always)]
    fn dot(self, other: Self) -> I32x4 {
        let product = |i: usize| i32::from(self.0[i]) * i32::from(other.0[i]);
        I32x4(from_fn(|i| product(2 * i).wrapping_add(product(2 * i + 1))))
    }

    #[inline(always)]
    fn to_array(self) -> [i16; 8] {
        self.0
    }
}

impl ByteVector for I8x16 {
    type Short = I16x8;
    type Int = I32x4;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: sixteen bytes are readable by contract and need no alignment.
        I8x16(unsafe { from.cast::<[u8; 16]>().read() })
    }

    #[inline(always)]
    unsafe fn load_quad_splat(from: *const u8) -> Self {
        // SAFETY: four bytes are readable by contract and need no alignment.
        let quad = unsafe { from.cast::<[u8; 4]>().read() };
        I8x16(from_fn(|i| quad[i % 4]))
    }

    #[inline(always)]
    unsafe fn load_halves(low: *const u8, high: *const u8) -> Self {
        // SAFETY: eight bytes are readable at both by contract and need no alignment.
        let halves = unsafe { [low.cast::<[u8; 8]>().read(), high.cast::<[u8; 8]>().read()] };
        I8x16(from_fn(|i| halves[i / 8][i % 8]))
    }

    #[inline(always)]
    fn splat(x: u8) -> Self {
        I8x16([x; 16])
    }

    #[inline(always)]
    fn to_array(self) -> [u8; 16] {
        self.0
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        I8x16(from_fn(|i| self.0[i].wrapping_sub(other.0[i])))
    }

    #[inline(always)]
    fn add_saturated(self, other: Self) -> Self {
        I8x16(from_fn(|i| self.0[i].saturating_add(other.0[i])))
    }

    #[inline(always)]
    fn sub_saturated(self, other: Self) -> Self {
        I8x16(from_fn(|i| self.0[i].saturating_sub(other.0[i])))
    }

    #[inline(always)]
    fn magnitudes(self) -> [Self; 2] {
        [I8x16(self.0.map(|x| (x as i8).max(0) as u8)), I8x16(self.0.map(|x| (x as i8).min(0).unsigned_abs()))]
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        I8x16(from_fn(|i| self.0[i].max(other.0[i])))
    }

    #[inline(always)]
    fn swap_halves(self) -> Self {
        I8x16(from_fn(|i| self.0[i ^ 8]))
    }

    #[inline(always)]
    fn are_zero(self) -> [bool; 2] {
        from_fn(|half| self.0[8 * half..][..8] == [0; 8])
    }

    #[inline(always)]
    fn zip(self, other: Self) -> [Self; 2] {
        from_fn(|half| I8x16(from_fn(|i| if i % 2 == 0 { self } else { other }.0[8 * half + i / 2])))
    }

    #[inline(always)]
    fn zip_pairs(self, other: Self) -> [Self; 2] {
        from_fn(|half| I8x16(from_fn(|i| if i / 2 % 2 == 0 { self } else { other }.0[8 * half + i / 4 * 2 + i % 2])))
    }

    #[inline(always)]
    fn sum_pairs(self) -> I16x8 {
        I16x8(from_fn(|i| i16::from(self.0[2 * i] as i8) + i16::from(self.0[2 * i + 1] as i8)))
    }

    #[inline(always)]
    fn dot_add(self, other: Self, signed: bool, sum: I32x4) -> I32x4 {
        let value = |x: u8| if signed { i32::from(x as i8) } else { i32::from(x) };
        let product = |i: usize| i32::from(self.0[i] as i8) * value(other.0[i]);
        I32x4(from_fn(|i| (4 * i..4 * i + 4).map(product).fold(sum.0[i], i32::wrapping_add)))
    }

    // Saturates, as x86 does: where packing lets a sum get too large, tests of this build see it.
    #[inline(always)]
    fn dot_pairs(self, other: Self) -> I16x8 {
        let product = |i: usize| i32::from(self.0[i] as i8) * i32::from(other.0[i]);
        I16x8(from_fn(|i| (product(2 * i) + product(2 * i + 1)).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16))
    }
}
