//! 8-bit matrix multiplication in exact integers, for quantised models: signed or unsigned operands, zero points, and
//! the result as `i32` or scaled to `f32` with an [`Epilogue`].
//!
//! `sum of (a - a_zero) * (b - b_zero)` splits into `sum of (a - a_zero) * b`, which the inner loop computes, and
//! `b_zero` times the sum over a row of `a - a_zero`, which is subtracted at the end. Products are formed pairwise by
//! the widening dot product of `i16`, where everything fits: `a - a_zero` lies in -255..=255, and B is stored as
//! `i8`, an unsigned B shifted down by 128 together with its zero point. No step saturates, and sums wrap like `i32`:
//! hence equal bits everywhere.
//!
//! B is packed into panels of eight columns. Within a panel two neighbouring `k` of one column stay together, the
//! pair that one lane of the dot product consumes. A block of A, at most `MC` x `KC`, is widened to `i16` on the
//! stack, less its zero points, and serves all panels; so every byte of B is read once per `MC` rows. Between
//! blocks of `k` the sums rest in C, for an `f32` result as the integers that they are.

use crate::arch::{I16x8, I32x4};
use crate::gemm::Epilogue;
use crate::vector::{IntVector, LANES, ShortVector, span};
use std::array::from_fn;

/// Columns of a panel of packed B.
const NR: usize = 8;
/// Rows of the register tile: 4x8 sums take eight registers, with two for B and one for A.
const MR: usize = 4;
/// Vectors in a row of the register tile.
const VECTORS: usize = NR / LANES;
/// Rows of a block of A.
const MC: usize = 32;
/// Extent of a block along `k`, even. The widened block of A takes `2 * MC * KC` bytes: 16 KiB.
const KC: usize = 256;
/// Bytes behind the panels. The first holds what was subtracted from B: 0, or 128 if it was unsigned.
const TRAILER: usize = 16;

/// A slice of 8-bit integers.
#[derive(Clone, Copy, Debug)]
pub enum Int8<'a> {
    /// Unsigned, 0..=255.
    U8(&'a [u8]),
    /// Signed, -128..=127.
    I8(&'a [i8]),
}

impl Int8<'_> {
    fn len(&self) -> usize {
        match self {
            Int8::U8(data) => data.len(),
            Int8::I8(data) => data.len(),
        }
    }
}

/// Bytes that B, `[k, n]`, takes when packed.
pub const fn packed_len(k: usize, n: usize) -> usize {
    panel_len(k).saturating_mul(n.div_ceil(NR)).saturating_add(TRAILER)
}

const fn panel_len(k: usize) -> usize {
    k.div_ceil(2).saturating_mul(2 * NR)
}

/// Packs B, `[k, n]`, for [`gemm_i32`] and [`gemm_f32`].
///
/// Element `(r, c)` is `b[r * row_stride + c * col_stride]`, so a transposed B costs nothing extra.
///
/// # Panics
/// If `packed` does not have [`packed_len`] bytes or `b` is too short.
pub fn pack_b(k: usize, n: usize, b: Int8, row_stride: usize, col_stride: usize, packed: &mut [u8]) {
    assert!(packed.len() == packed_len(k, n), "pack_b: packed has the wrong length");
    let (panels, trailer) = packed.split_at_mut(packed.len() - TRAILER);
    trailer.fill(0);
    let (bytes, offset) = match b {
        Int8::U8(b) => (b, 128),
        Int8::I8(b) => (bytemuck::cast_slice(b), 0),
    };
    trailer[0] = offset;
    if panels.is_empty() {
        return;
    }
    for (panel, j) in panels.chunks_exact_mut(panel_len(k)).zip((0..n).step_by(NR)) {
        let width = NR.min(n - j);
        for (p, pairs) in panel.as_chunks_mut::<{ 2 * NR }>().0.iter_mut().enumerate() {
            let row = |r: usize| -> [u8; NR] {
                let start = r * row_stride + j * col_stride;
                if r == k {
                    // The partner of an odd last row.
                    [0; NR]
                } else if col_stride == 1 && width == NR {
                    let row = &bytes[start..start + NR];
                    from_fn(|c| row[c].wrapping_sub(offset))
                } else {
                    from_fn(|c| if c < width { bytes[start + c * col_stride].wrapping_sub(offset) } else { 0 })
                }
            };
            let (even, odd) = (row(2 * p), row(2 * p + 1));
            *pairs = from_fn(|i| if i % 2 == 0 { even[i / 2] } else { odd[i / 2] });
        }
    }
}

/// `c[i, j] = sum over l of (a[i, l] - a_zero[i]) * (b[l, j] - b_zero[j])`, wrapping.
///
/// A is `[m, k]` with `a_stride` elements between rows, C is `[m, n]` with `c_stride`, and `packed_b` comes from
/// [`pack_b`] with the same `k` and `n`. `a_zero` has one element or `m`; `b_zero` none (all zero), one, or `n`. Zero
/// points of A must be values of A's type; others give wrong sums.
///
/// # Panics
/// If a slice has the wrong length, or `c_stride < n` where there is more than one row.
pub fn gemm_i32(
    m: usize,
    n: usize,
    k: usize,
    a: Int8,
    a_stride: usize,
    a_zero: &[i32],
    packed_b: &[u8],
    b_zero: &[i32],
    c: &mut [i32],
    c_stride: usize,
) {
    Gemm::new(m, n, k, a, a_stride, a_zero, packed_b, b_zero, c_stride, None).run(m, c);
}

/// `c[i, j] = activation(alpha * x + bias[j]) + residual[i, j]`, where `x` is the result of [`gemm_i32`] as `f32`,
/// times `a_scale[i] * b_scale[j]`.
///
/// `a_scale` has one element or `m`, `b_scale` one or `n`. The two are multiplied with each other first, and every
/// step rounds by itself, as the separate operators of an ONNX graph do: the bits are theirs.
///
/// # Panics
/// If a slice has the wrong length, or `c_stride < n` where there is more than one row.
pub fn gemm_f32(
    m: usize,
    n: usize,
    k: usize,
    a: Int8,
    a_stride: usize,
    a_zero: &[i32],
    packed_b: &[u8],
    b_zero: &[i32],
    a_scale: &[f32],
    b_scale: &[f32],
    epilogue: &Epilogue,
    c: &mut [f32],
    c_stride: usize,
) {
    assert!(a_scale.len() == 1 || a_scale.len() == m, "gemm_int8: a_scale is not [1] or [m]");
    assert!(b_scale.len() == 1 || b_scale.len() == n, "gemm_int8: b_scale is not [1] or [n]");
    epilogue.check(m, n);
    let float = Float { a_scale, b_scale, epilogue };
    let gemm = Gemm::new(m, n, k, a, a_stride, a_zero, packed_b, b_zero, c_stride, Some(float));
    gemm.run(m, bytemuck::cast_slice_mut(c));
}

/// What [`gemm_f32`] does with the integers.
struct Float<'a> {
    a_scale: &'a [f32],
    b_scale: &'a [f32],
    epilogue: &'a Epilogue<'a>,
}

/// The arguments that all tiles share; their lengths have been checked.
struct Gemm<'a> {
    n: usize,
    k: usize,
    a: Int8<'a>,
    a_stride: usize,
    a_zero: &'a [i32],
    panels: &'a [u8],
    b_offset: i32,
    b_zero: &'a [i32],
    c_stride: usize,
    float: Option<Float<'a>>,
}

/// A block of A, widened, less its zero points.
struct Block {
    /// Row `r` starts at `r * KC`.
    values: [i16; MC * KC],
    /// The sum of every row over all blocks of `k` so far.
    sums: [i32; MC],
}

impl<'a> Gemm<'a> {
    fn new(
        m: usize,
        n: usize,
        k: usize,
        a: Int8<'a>,
        a_stride: usize,
        a_zero: &'a [i32],
        packed_b: &'a [u8],
        b_zero: &'a [i32],
        c_stride: usize,
        float: Option<Float<'a>>,
    ) -> Self {
        assert!(a.len() >= span(m, k, a_stride), "gemm_int8: a is too short");
        assert!(a_zero.len() == 1 || a_zero.len() == m, "gemm_int8: a_zero is not [1] or [m]");
        assert!(b_zero.len() <= 1 || b_zero.len() == n, "gemm_int8: b_zero is not [], [1] or [n]");
        assert!(m <= 1 || c_stride >= n, "gemm_int8: rows of c overlap");
        assert!(packed_b.len() == packed_len(k, n), "gemm_int8: packed_b has the wrong length");
        let (panels, trailer) = packed_b.split_at(packed_b.len() - TRAILER);
        Gemm { n, k, a, a_stride, a_zero, panels, b_offset: trailer[0].into(), b_zero, c_stride, float }
    }

    /// Computes all of C, as integers or as the bits of floats.
    fn run(&self, m: usize, c: &mut [i32]) {
        assert!(c.len() >= span(m, self.n, self.c_stride), "gemm_int8: c is too short");
        let mut block = Block { values: [0; MC * KC], sums: [0; MC] };
        for i in (0..m).step_by(MC) {
            let rows = MC.min(m - i);
            block.sums = [0; MC];
            // Once even if k is zero: C is written all the same.
            for l in (0..self.k.max(1)).step_by(KC) {
                self.widen(i, rows, l, &mut block);
                for j in (0..self.n).step_by(NR) {
                    for r in (0..rows).step_by(MR) {
                        self.tile(i, r, MR.min(rows - r), j, l, &block, c);
                    }
                    // The last block of k leaves floats behind.
                    if let Some(Float { epilogue, .. }) = &self.float
                        && l + KC >= self.k
                        && !epilogue.is_identity()
                    {
                        let width = NR.min(self.n - j);
                        epilogue.apply(bytemuck::cast_slice_mut(c), self.c_stride, i, rows, j, width);
                    }
                }
            }
        }
    }

    /// Loads rows `i..i + rows` of A over the block of `k` that begins at `l`, and adds to the sums of these rows.
    fn widen(&self, i: usize, rows: usize, l: usize, block: &mut Block) {
        let depth = KC.min(self.k - l);
        if depth == 0 {
            return;
        }
        for (r, values) in block.values.chunks_exact_mut(KC).take(rows).enumerate() {
            let zero = self.a_zero[if self.a_zero.len() == 1 { 0 } else { i + r }] as i16;
            let range = (i + r) * self.a_stride + l..;
            let sum = match self.a {
                Int8::U8(a) => widen(&a[range][..depth], zero, values),
                Int8::I8(a) => widen(&a[range][..depth], zero, values),
            };
            block.sums[r] = block.sums[r].wrapping_add(sum);
            // The partner of an odd last k.
            if depth < KC {
                values[depth] = 0;
            }
        }
    }

    /// Computes `rows` rows from row `r` of the block, which is row `i + r` of C, and the panel at column `j`.
    fn tile(&self, i: usize, r: usize, rows: usize, j: usize, l: usize, block: &Block, c: &mut [i32]) {
        let depth = KC.min(self.k - l);
        let width = NR.min(self.n - j);
        let c = &mut c[(i + r) * self.c_stride + j..];
        let mut tile = [[0; NR]; MR];
        if l > 0 {
            for (row, tile) in (0..rows).zip(&mut tile) {
                tile[..width].copy_from_slice(&c[row * self.c_stride..][..width]);
            }
        }
        let a = &block.values[r * KC..];
        let b = &self.panels[j / NR * panel_len(self.k)..][l * NR..];
        let microkernel = match rows {
            1 => microkernel::<1>,
            2 => microkernel::<2>,
            3 => microkernel::<3>,
            _ => microkernel::<MR>,
        };
        microkernel(depth.div_ceil(2), a, b, &mut tile);
        if l + depth == self.k {
            self.finish(i + r, &block.sums[r..][..rows], j, width, &mut tile);
        }
        for (row, tile) in (0..rows).zip(&tile) {
            c[row * self.c_stride..][..width].copy_from_slice(&tile[..width]);
        }
    }

    /// Turns sums of products into the result, but for the epilogue, in a tile at row `i` and column `j` of C. The
    /// tile has a row for each of `sums`.
    #[inline(never)]
    fn finish(&self, i: usize, sums: &[i32], j: usize, width: usize, tile: &mut [[i32; NR]; MR]) {
        let b_zero = columns(if self.b_zero.is_empty() { &[0] } else { self.b_zero }, j, width);
        for (row, &sum) in tile.iter_mut().zip(sums) {
            for c in 0..NR {
                row[c] = row[c].wrapping_sub(sum.wrapping_mul(b_zero[c].wrapping_sub(self.b_offset)));
            }
        }
        let Some(Float { a_scale, b_scale, .. }) = &self.float else { return };
        let b_scale = columns(b_scale, j, width);
        for (r, row) in tile.iter_mut().enumerate().take(sums.len()) {
            let a_scale = nth(a_scale, i + r);
            let values: [f32; NR] = from_fn(|c| row[c] as f32 * (a_scale * b_scale[c]));
            *row = bytemuck::cast(values);
        }
    }
}

/// Element `i` of a slice that has one for all or one for each.
fn nth<T: Copy>(values: &[T], i: usize) -> T {
    if values.len() == 1 { values[0] } else { values[i] }
}

/// Elements `j..j + width` of such a slice.
#[inline(never)]
fn columns<T: Copy + Default>(values: &[T], j: usize, width: usize) -> [T; NR] {
    from_fn(|c| if c < width { nth(values, j + c) } else { T::default() })
}

/// Writes `a - zero` to `values` and returns its sum.
fn widen<T: Copy + Into<i16>>(a: &[T], zero: i16, values: &mut [i16]) -> i32 {
    let mut sum = 0;
    for (value, &a) in values.iter_mut().zip(a) {
        *value = a.into().wrapping_sub(zero);
        sum += i32::from(*value);
    }
    sum
}

/// Adds the product of `ROWS` rows of A, `KC` apart, and a panel of B, over `pairs` pairs of `k`, to the first rows
/// of `tile`.
#[inline(never)]
fn microkernel<const ROWS: usize>(pairs: usize, a: &[i16], b: &[u8], tile: &mut [[i32; NR]; MR]) {
    assert!(a.len() >= span(ROWS, 2 * pairs, KC) && b.len() >= 2 * NR * pairs && ROWS <= MR);
    let mut sums: [[I32x4; VECTORS]; ROWS] =
        // SAFETY: a row of the tile is NR = VECTORS * LANES values.
        from_fn(|r| from_fn(|v| unsafe { I32x4::load(tile[r].as_ptr().add(v * LANES)) }));
    for p in 0..pairs {
        // SAFETY: the panel has NR pairs of bytes for p < pairs, and a vector takes eight bytes, LANES pairs, of them.
        let b: [I16x8; VECTORS] =
            from_fn(|v| unsafe { I16x8::load_extend(b.as_ptr().add(2 * (p * NR + v * LANES)).cast()) });
        for r in 0..ROWS {
            // SAFETY: row r has 2 * pairs values and p < pairs.
            let a = unsafe { I16x8::load_pair_splat(a.as_ptr().add(r * KC + 2 * p)) };
            for v in 0..VECTORS {
                sums[r][v] = sums[r][v] + a.dot(b[v]);
            }
        }
    }
    for r in 0..ROWS {
        for v in 0..VECTORS {
            // SAFETY: as for the load above.
            unsafe { sums[r][v].store(tile[r].as_mut_ptr().add(v * LANES)) };
        }
    }
}
