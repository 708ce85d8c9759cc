//! f32 matrix multiplication with a B that stays in half precision: half the memory, and half the bytes to stream.
//!
//! B is packed into the panels of [`gemm`](crate::gemm), in 16 bits, and each panel is converted when its turn comes.
//! Every half is an `f32`, so the result has the bits of [`gemm::gemm`](crate::gemm::gemm) with the converted matrix.
//! Measured in V8 with relaxed SIMD on 768x768 weights of IEEE halves: 1.03 times an f32 GEMM with 128 rows, 1.3 times
//! with 16, 3 times with one.
//!
//! A bfloat16 is the upper half of an `f32`. The conversion of an IEEE half works on bits, too: moved up by 13, its fields
//! are those of an `f32` whose exponent is 112 too small. Adding that makes a subnormal half, `2^-14 * f` with a fraction
//! `f`, read as `2^-15 * (1 + f)`; twice that less `2^-14` is exact. Multiplying by `2^112` would be shorter, but meet
//! denormal floats, with which many processors are slow.

use crate::arch::{F32x4, I32x4};
use crate::gemm::{Epilogue, NR, Panels, expanded_len, gemm_panels, pack_panels};
use crate::parallel::Grid;
use crate::slices::store;
use crate::vector::{FloatVector, IntVector, LANES};

pub use crate::gemm::{packed_len, scratch_len};

/// Floats of 16 bits.
#[derive(Clone, Copy, Debug)]
pub enum Halves<'a> {
    /// The bits of IEEE halves.
    F16(&'a [u16]),
    /// The bits of bfloat16s.
    Bf16(&'a [u16]),
}

impl<'a> Halves<'a> {
    pub(crate) fn bits(self) -> &'a [u16] {
        let (Halves::F16(bits) | Halves::Bf16(bits)) = self;
        bits
    }

    /// Others of the same type.
    pub(crate) fn of_kind(self, bits: &[u16]) -> Halves<'_> {
        match self {
            Halves::F16(_) => Halves::F16(bits),
            Halves::Bf16(_) => Halves::Bf16(bits),
        }
    }
}

/// Packs B, `[k, n]`, for [`gemm`]; elements are the bits of either kind of half.
///
/// Element `(r, c)` is `b[r * row_stride + c * col_stride]`, so a transposed B costs nothing extra.
///
/// # Panics
/// If `packed` does not have [`packed_len`] elements or `b` is too short.
pub fn pack_b(k: usize, n: usize, b: &[u16], row_stride: usize, col_stride: usize, packed: &mut [u16]) {
    pack_panels(k, n, b, row_stride, col_stride, packed);
}

/// `c[i, j] = activation(alpha * sum over l of a[i, l] * b[l, j] + bias[j]) + residual[i, j]`
///
/// A is `[m, k]` with `a_stride` elements between rows, C is `[m, n]` with `c_stride`, and `packed_b` comes from
/// [`pack_b`] with the same `k` and `n`. `scratch` has at least [`scratch_len`] floats, whose values do not matter.
///
/// # Panics
/// If a slice is too short, or `c_stride < n` where there is more than one row.
pub fn gemm(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_stride: usize,
    packed_b: Halves,
    c: &mut [f32],
    c_stride: usize,
    epilogue: &Epilogue,
    scratch: &mut [f32],
) {
    assert!(packed_b.bits().len() == packed_len(k, n), "gemm_half: packed_b has the wrong length");
    assert!(scratch.len() >= expanded_len(k), "gemm_half: scratch is too short");
    let expand = |j: usize, panel: &mut [f32]| to_f32(packed_b.of_kind(&packed_b.bits()[j * k..][..k * NR]), panel);
    gemm_panels(m, n, k, a, a_stride, Panels::Expanded(&expand), scratch, Grid::new(c, c_stride), epilogue);
}

/// Converts exactly; NaN stays NaN.
///
/// # Panics
/// If `x` and `out` differ in length.
pub fn to_f32(x: Halves, out: &mut [f32]) {
    match x {
        Halves::F16(x) => each(x, out, from_f16),
        Halves::Bf16(x) => each(x, out, |bits| F32x4::from_bits(bits.shl::<16>())),
    }
}

/// `convert` gets four halves, extended to 32 bits by their signs.
#[inline(never)]
fn each(x: &[u16], out: &mut [f32], convert: impl Fn(I32x4) -> F32x4) {
    assert!(x.len() == out.len(), "to_f32: x and out differ in length");
    // SAFETY: the array has four elements of the size and alignment of an i16.
    let convert = |halves: &[u16; LANES]| convert(unsafe { I32x4::load_extend(halves.as_ptr().cast()) });
    let ((x, x_rest), (out, out_rest)) = (x.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
    for (x, out) in x.iter().zip(out) {
        *out = convert(x).to_array();
    }
    if !out_rest.is_empty() {
        let mut lanes = [0; LANES];
        lanes[..x_rest.len()].copy_from_slice(x_rest);
        store(out_rest, 0, convert(&lanes));
    }
}

#[inline(always)]
fn from_f16(bits: I32x4) -> F32x4 {
    /// What the exponents of the two formats differ by, in place.
    const REBIAS: i32 = 112 << 23;
    /// The smallest normal half, `2^-14`.
    const NORMAL: f32 = f32::from_bits(113 << 23);
    let rebias = I32x4::splat(REBIAS);
    let x = F32x4::from_bits(bits.and(I32x4::splat(0x7fff)).shl::<13>() + rebias);
    // Infinity and NaN read as 2^16 and more: their exponent must be the highest in f32, too.
    let special = F32x4::from_bits(x.to_bits() + rebias);
    let x = x.select_lt(F32x4::splat(65536.0), x, special);
    let x = x.select_lt(F32x4::splat(NORMAL), x + x - F32x4::splat(NORMAL), x);
    x.copysign(F32x4::from_bits(bits))
}
