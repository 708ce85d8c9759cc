//! The vectors that kernels are written over: 128 bits as four `f32`, four `i32`, eight `i16` or sixteen bytes.
//!
//! The traits hold exactly what the kernels use. They are contracts rather than type parameters: a build has one
//! implementation of each, named `F32x4`, `I32x4`, `I16x8` and `I8x16` in [`crate::arch`], and kernels use those names.
//! What the compiler vectorises by itself (square roots, say) does not appear here.

use std::ops::{Add, Div, Mul, Sub};

/// Lanes of an `f32` or `i32` vector.
pub(crate) const LANES: usize = 4;

/// Four `f32`.
pub(crate) trait FloatVector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// As many `i32`.
    type Int: IntVector;

    /// The same value in every lane.
    fn splat(x: f32) -> Self;

    /// Four consecutive values, of any alignment that `f32` allows.
    ///
    /// # Safety
    /// `from` must be valid for reading four `f32`.
    unsafe fn load(from: *const f32) -> Self;

    /// [`load`](FloatVector::load), in WebAssembly where it stands: the compiler moves no other read past it.
    ///
    /// # Safety
    /// As for `load`.
    #[inline(always)]
    unsafe fn load_in_order(from: *const f32) -> Self {
        // SAFETY: by contract.
        unsafe { Self::load(from) }
    }

    /// One value from memory in every lane.
    ///
    /// # Safety
    /// `from` must be valid for reading one `f32`.
    unsafe fn load_splat(from: *const f32) -> Self;

    /// Writes four consecutive values.
    ///
    /// # Safety
    /// `to` must be valid for writing four `f32`.
    unsafe fn store(self, to: *mut f32);

    /// `self * b + c`, with one rounding where the hardware has it and two elsewhere.
    fn mul_add(self, b: Self, c: Self) -> Self;

    /// `self * b + c` with one rounding on any instruction set, for a multiple of the time: exact in `f64` up to the sum,
    /// which is rounded twice. (Where that is not as good as once, one time in 2^29, results are the same everywhere.)
    fn fused_mul_add(self, b: Self, c: Self) -> Self;

    /// `if other < self { other } else { self }` in each lane: a NaN of `self` stays, a NaN of `other` is ignored.
    fn min(self, other: Self) -> Self;

    /// `if self < other { other } else { self }` in each lane: a NaN of `self` stays, a NaN of `other` is ignored.
    fn max(self, other: Self) -> Self;

    /// The smaller number in each lane, NaN if either is NaN. Slower than [`FloatVector::min`].
    fn minimum(self, other: Self) -> Self;

    /// The larger number in each lane, NaN if either is NaN. Slower than [`FloatVector::max`].
    fn maximum(self, other: Self) -> Self;

    /// The magnitude of each lane.
    fn abs(self) -> Self;

    /// The magnitude of each lane with the sign of the same lane of `sign`.
    fn copysign(self, sign: Self) -> Self;

    /// `if self < bound { yes } else { no }` in each lane.
    fn select_lt(self, bound: Self, yes: Self, no: Self) -> Self;

    /// The bit patterns.
    fn to_bits(self) -> Self::Int;

    /// The values of bit patterns.
    fn from_bits(bits: Self::Int) -> Self;

    /// The nearest number to each integer.
    fn from_int(x: Self::Int) -> Self;

    /// Lane `i` is `lanes[i]`.
    fn from_array(lanes: [f32; LANES]) -> Self;

    /// Lane `i` becomes element `i`.
    fn to_array(self) -> [f32; LANES];

    /// The polynomial `c[0] + c[1] x + c[2] x^2 + ...` at `self` by Horner's rule.
    #[inline(always)]
    fn polynomial<const N: usize>(self, coefficients: &[f32; N]) -> Self {
        let mut sum = Self::splat(coefficients[N - 1]);
        for i in (0..N - 1).rev() {
            sum = sum.mul_add(self, Self::splat(coefficients[i]));
        }
        sum
    }
}

/// Four `i32`, wrapping.
pub(crate) trait IntVector: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// The same value in every lane.
    fn splat(x: i32) -> Self;

    /// Four consecutive `i16`, sign-extended.
    ///
    /// # Safety
    /// `from` must be valid for reading four `i16`.
    unsafe fn load_extend(from: *const i16) -> Self;

    /// Lane `i` is `lanes[i]`.
    fn from_array(lanes: [i32; LANES]) -> Self;

    /// Lane `i` becomes element `i`.
    fn to_array(self) -> [i32; LANES];

    /// The bits that both have.
    fn and(self, other: Self) -> Self;

    /// The bits that one of both has.
    fn xor(self, other: Self) -> Self;

    /// Lane `i` is bytes `4 * i..`, the low one first.
    fn from_bytes(bytes: [u8; 4 * LANES]) -> Self;

    /// Lane `i` of vector `j` becomes lane `j` of vector `i`.
    fn transpose(vectors: [Self; LANES]) -> [Self; LANES];

    /// Writes four consecutive values.
    ///
    /// # Safety
    /// `to` must be valid for writing four `i32`.
    unsafe fn store(self, to: *mut i32);

    /// Each lane shifted left by `BITS`.
    fn shl<const BITS: u32>(self) -> Self;

    /// Each lane shifted right by `BITS`, keeping the sign.
    fn shr<const BITS: u32>(self) -> Self;

    /// The lanes of four vectors in order, each of which must be in 0..=255.
    fn narrow(vectors: [Self; 4]) -> [u8; 4 * LANES];
}

/// Sixteen bytes, as operands of the integer dot products whose meaning is up to the engine; see
/// [`Mode`](crate::gemm_int8::Mode).
pub(crate) trait ByteVector: Copy {
    /// What pairs of products are summed in.
    type Short: ShortVector;
    /// What four products are summed in.
    type Int;

    /// Sixteen consecutive bytes.
    ///
    /// # Safety
    /// `from` must be valid for reading sixteen bytes.
    unsafe fn load(from: *const u8) -> Self;

    /// Four consecutive bytes, four times.
    ///
    /// # Safety
    /// `from` must be valid for reading four bytes.
    unsafe fn load_quad_splat(from: *const u8) -> Self;

    /// Eight consecutive bytes, then eight others.
    ///
    /// # Safety
    /// Both must be valid for reading eight bytes.
    unsafe fn load_halves(low: *const u8, high: *const u8) -> Self;

    /// The same byte sixteen times.
    fn splat(x: u8) -> Self;

    /// The bytes in order.
    fn to_array(self) -> [u8; 16];

    /// The differences, wrapping.
    fn sub(self, other: Self) -> Self;

    /// The sums of unsigned bytes, 255 at most.
    fn add_saturated(self, other: Self) -> Self;

    /// The differences of unsigned bytes, 0 at least.
    fn sub_saturated(self, other: Self) -> Self;

    /// The magnitudes of signed bytes: of those above zero, and of those below.
    fn magnitudes(self) -> [Self; 2];

    /// The larger of unsigned bytes.
    fn max(self, other: Self) -> Self;

    /// The high half, then the low one.
    fn swap_halves(self) -> Self;

    /// Whether all bytes of the low half are zero, and of the high one.
    fn are_zero(self) -> [bool; 2];

    /// Bytes of both in turns, of their low halves and of their high ones.
    fn zip(self, other: Self) -> [Self; 2];

    /// Pairs of bytes of both in turns, of their low halves and of their high ones.
    fn zip_pairs(self, other: Self) -> [Self; 2];

    /// Lane `i` is the sum of the signed bytes `2 * i` and `2 * i + 1`.
    fn sum_pairs(self) -> Self::Short;

    /// Adds to lane `i` of `sum` the four products of bytes `4 * i..` of `self`, which are signed, with those of
    /// `other`. Those are signed or not as `signed` says, if the engine can do that.
    fn dot_add(self, other: Self, signed: bool, sum: Self::Int) -> Self::Int;

    /// Lane `i` is the sum of the products of bytes `2 * i` and `2 * i + 1` of `self`, which are signed, with those of
    /// `other`, which are unsigned, if it fits an `i16` and the engine can do that.
    fn dot_pairs(self, other: Self) -> Self::Short;
}

/// Eight `i16`, as operands of the integer dot product; wrapping.
pub(crate) trait ShortVector: Copy + Add<Output = Self> {
    /// What products are summed in.
    type Int;

    /// The same value in every lane.
    fn splat(x: i16) -> Self;

    /// Eight consecutive values.
    ///
    /// # Safety
    /// `from` must be valid for reading eight `i16`.
    unsafe fn load(from: *const i16) -> Self;

    /// Eight consecutive bytes, sign-extended.
    ///
    /// # Safety
    /// `from` must be valid for reading eight `i8`.
    unsafe fn load_extend(from: *const i8) -> Self;

    /// Writes eight consecutive values.
    ///
    /// # Safety
    /// `to` must be valid for writing eight `i16`.
    unsafe fn store(self, to: *mut i16);

    /// Two consecutive values, four times.
    ///
    /// # Safety
    /// `from` must be valid for reading two `i16`.
    unsafe fn load_pair_splat(from: *const i16) -> Self;

    /// Lane `i` of the result is `self[2 * i] * other[2 * i] + self[2 * i + 1] * other[2 * i + 1]`.
    fn dot(self, other: Self) -> Self::Int;

    /// The lanes in order.
    fn to_array(self) -> [i16; 8];
}

/// How many elements a matrix of `rows` rows of `cols` elements spans, at `stride` elements from row to row.
///
/// Saturates instead of overflowing, and no slice is that long: so a check against it is sound for any arguments.
pub(crate) fn span(rows: usize, cols: usize, stride: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1).saturating_mul(stride).saturating_add(cols) }
}
