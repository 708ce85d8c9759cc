//! 8-bit matrix multiplication in exact integers, for quantised models: signed or unsigned operands, zero points, and
//! the result as `i32` or scaled to `f32` with an [`Epilogue`].
//!
//! `sum of (a - a_zero) * (b - b_zero)` splits into the sum of `a * b`, which the innermost loop computes, and terms
//! with the sums of rows of A and of columns of B, which are corrected for at the end. Sums wrap like `i32`, and how
//! products are formed is a [`Mode`], of which an engine has one or the other; it is chosen, and weights are packed
//! for it, so that no step saturates. Hence equal bits in every mode.
//!
//! Around the innermost loop run, from the outside: blocks of rows, which are packed, from bytes or from floats
//! (`rows.rs`), and stay in the L2 cache; panels of B (`packing.rs`), each of which serves a whole block, from the L1
//! cache; tiles of four rows by one panel (`microkernel.rs`). There is no blocking along `k`. With [`Mode::I16`] a
//! panel is widened once for all tiles of a block, if these are a few.
//!
//! Measured in V8 (Node 24) on a Zen 4 core, CPU time on a busy machine, 128x768x768, 128x3072x768 and 128x768x3072
//! with rows quantised on the way and a bias, as a fraction of twice the peak of a register-only FMA loop: `i16` 0.71,
//! 0.72 and 0.70; `maddubs` with weights of 8 bits 0.85, 0.87 and 0.86. All layers of a model of 42 million weights, which
//! come from memory, with 16, 32 and 128 rows: `maddubs` 0.71, 0.77 and 0.79, with rows of 7 bits ([`Accuracy::Fast`])
//! 0.81, 0.89 and 0.92. The innermost loops alone, on 128x768x768: `i16` 0.73 to 0.79 (0.69 with widening in every tile),
//! `maddubs` 0.99 in steps of four `k` and 1.08 in steps of eight. In all of them some five instructions a cycle are
//! carried out, so what counts is how many there are: the sixteen multiplications and additions of a step of `i16` come
//! with six loads and three others, which makes five and a half cycles of what the ports would do in four.
//!
//! Threads, if there are several, share out the rows of a block when it is packed, and then groups of columns.
//!
//! Tried and lost: reading rows of A from where they are (a tenth slower); steps of sixteen `k` (as fast, for fewer
//! weights); tiles of eight rows by four columns (`i16` a quarter slower, `maddubs` 7 % slower in steps of four and 2 %
//! faster in steps of eight); `i16` tiles of 3x12, 5x8 and 2x16 (up to a third slower, spills, or equal) and steps of four
//! `k` (a sixth slower); reading ahead a cache line after every few steps of `maddubs` instead of a byte in each (a fifth
//! slower: a loop in a loop); the relaxed dot into 32 bits where an engine makes three instructions of it (no faster
//! than `i16`).

mod microkernel;
mod mode;
mod packing;
mod rows;

use crate::arch::{F32x4, I32x4};
use crate::gemm::{Epilogue, FINISH};
use crate::parallel::{self, Grid};
use crate::vector::{FloatVector, IntVector, span};
use microkernel::{MR, NR, Steps, Tile};
use packing::Packed;
use rows::{Row, Source};
use std::array::from_fn;
use std::ops::Range;

pub use mode::Mode;
pub use packing::{Accuracy, Packing, packed_len};
pub use rows::scratch_len;

/// From so many rows on a panel is widened once for all.
const WIDEN: usize = 2 * MR;

/// A slice of 8-bit integers.
#[derive(Clone, Copy, Debug)]
pub enum Int8<'a> {
    /// Unsigned, 0..=255.
    U8(&'a [u8]),
    /// Signed, -128..=127.
    I8(&'a [i8]),
}

impl<'a> Int8<'a> {
    /// As they are stored.
    fn bytes(self) -> &'a [u8] {
        match self {
            Int8::U8(data) => data,
            Int8::I8(data) => bytemuck::cast_slice(data),
        }
    }
}

/// Packs B, `[k, n]`, in [`Mode::I16`], where the length does not depend on the weights; for others see [`Packing`].
///
/// # Panics
/// If `packed` does not have [`packed_len`] bytes or `b` is too short.
pub fn pack_b(k: usize, n: usize, b: Int8, row_stride: usize, col_stride: usize, packed: &mut [u8]) {
    let packing = Packing::new(Mode::I16, Accuracy::Exact, k, n, b, row_stride, col_stride);
    packing.pack(b, row_stride, col_stride, packed);
}

/// `c[i, j] = sum over l of (a[i, l] - a_zero[i]) * (b[l, j] - b_zero[j])`, wrapping.
///
/// A is `[m, k]` with `a_stride` elements between rows, C is `[m, n]` with `c_stride`, and `packed_b` comes from
/// [`Packing`] or [`pack_b`] with the same `k` and `n`. `a_zero` has one element or `m`; `b_zero` none (all zero),
/// one, or `n`. `scratch` has at least [`scratch_len`] elements, whose values do not matter.
///
/// # Panics
/// If a slice has the wrong length, `c_stride < n` where there is more than one row, or `packed_b` is packed for
/// [`Accuracy::Fast`].
#[inline]
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
    scratch: &mut [i32],
) {
    let a = Source::Int8(a, a_zero);
    Gemm::new(m, n, k, a, a_stride, packed_b, b_zero, c_stride, None).run(m, c, c_stride, scratch);
}

/// `c[i, j] = activation(alpha * x + bias[j]) + residual[i, j]`, where `x` is the result of [`gemm_i32`] as `f32`,
/// times `a_scale[i] * b_scale[j]`.
///
/// `a_scale` has one element or `m`, `b_scale` one or `n`. The two are multiplied with each other first, and every
/// step rounds by itself, as the separate operators of an ONNX graph do: the bits are theirs.
///
/// # Panics
/// As [`gemm_i32`].
#[inline]
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
    scratch: &mut [i32],
) {
    assert!(a_scale.len() == 1 || a_scale.len() == m, "gemm_int8: a_scale is not [1] or [m]");
    let float = Float { a_scale: Some(a_scale), b_scale, epilogue };
    let gemm = Gemm::new(m, n, k, Source::Int8(a, a_zero), a_stride, packed_b, b_zero, c_stride, Some(float));
    gemm.run(m, bytemuck::cast_slice_mut(c), c_stride, scratch);
}

/// [`gemm_f32`] of an A of floats, each row of which is quantised while it is packed.
///
/// The bits are those of [`dynamic_quantize`](crate::quantize::dynamic_quantize) for each row followed by
/// [`gemm_f32`]; if B is packed for [`Accuracy::Fast`] the bytes end at 127.
///
/// # Panics
/// As [`gemm_i32`], but B may be packed for any accuracy.
#[inline]
pub fn gemm_rows(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_stride: usize,
    packed_b: &[u8],
    b_zero: &[i32],
    b_scale: &[f32],
    epilogue: &Epilogue,
    c: &mut [f32],
    c_stride: usize,
    scratch: &mut [i32],
) {
    let float = Float { a_scale: None, b_scale, epilogue };
    let gemm = Gemm::new(m, n, k, Source::F32(a), a_stride, packed_b, b_zero, c_stride, Some(float));
    gemm.run(m, bytemuck::cast_slice_mut(c), c_stride, scratch);
}

/// What becomes of the integers if the result is floats.
struct Float<'a> {
    /// Nothing if rows bring their own.
    a_scale: Option<&'a [f32]>,
    b_scale: &'a [f32],
    epilogue: &'a Epilogue<'a>,
}

/// The arguments that all tiles share; their lengths have been checked.
struct Gemm<'a> {
    n: usize,
    k: usize,
    a: Source<'a>,
    a_stride: usize,
    b: Packed<'a>,
    b_zero: &'a [i32],
    float: Option<Float<'a>>,
}

/// What finishing needs to know of the columns of a panel.
struct Columns {
    /// Zero points, as moved by packing.
    zero: [i32; NR],
    /// What zero points of A are multiplied with: sums of `b - zero`.
    sum: [i32; NR],
    scale: [f32; NR],
    bias: [f32; NR],
}

impl<'a> Gemm<'a> {
    #[inline]
    fn new(
        m: usize,
        n: usize,
        k: usize,
        a: Source<'a>,
        a_stride: usize,
        packed_b: &'a [u8],
        b_zero: &'a [i32],
        c_stride: usize,
        float: Option<Float<'a>>,
    ) -> Self {
        let b = Packed::new(k, n, packed_b);
        let len = match a {
            Source::F32(a) => a.len(),
            Source::Int8(a, zero) => {
                assert!(zero.len() == 1 || zero.len() == m, "gemm_int8: a_zero is not [1] or [m]");
                assert!(b.accuracy == Accuracy::Exact, "gemm_int8: b is packed for bytes of a up to 127");
                a.bytes().len()
            }
        };
        assert!(len >= span(m, k, a_stride), "gemm_int8: a is too short");
        assert!(b_zero.len() <= 1 || b_zero.len() == n, "gemm_int8: b_zero is not [], [1] or [n]");
        assert!(m <= 1 || c_stride >= n, "gemm_int8: rows of c overlap");
        if let Some(Float { b_scale, epilogue, .. }) = &float {
            assert!(b_scale.len() == 1 || b_scale.len() == n, "gemm_int8: b_scale is not [1] or [n]");
            epilogue.check(m, n);
        }
        Gemm { n, k, a, a_stride, b, b_zero, float }
    }

    /// Computes all of C, as integers or as the bits of floats.
    fn run(&self, m: usize, c: &mut [i32], c_stride: usize, scratch: &mut [i32]) {
        assert!(c.len() >= span(m, self.n, c_stride), "gemm_int8: c is too short");
        assert!(scratch.len() >= rows::scratch_len_for(1, m, self.k), "gemm_int8: scratch is too short");
        let c = Grid::new(c, c_stride);
        let (mode, accuracy) = (self.b.mode, self.b.accuracy);
        let block = rows::block_rows(mode, m, self.k);
        let (rows, scratch) = scratch.split_at_mut(block * Row::LEN);
        let (words, wide) = scratch.split_at_mut(block * rows::words(mode, self.k));
        let rows: &mut [Row] = bytemuck::cast_slice_mut(rows);
        for i in (0..m).step_by(block.max(1)) {
            let rows = &mut rows[..block.min(m - i)];
            rows::pack(mode, accuracy, self.k, self.a, self.a_stride, i, rows, words);
            let (rows, words) = (&*rows, &*words);
            let work = rows.len().saturating_mul(self.n).saturating_mul(self.k);
            let width = parallel::part(self.n, FINISH, work);
            let share = NR * rows::words(Mode::I16, self.k);
            parallel::for_each_with(self.n.div_ceil(width), work, wide, share, |group, wide| {
                let j = group * width;
                // SAFETY: every group is of other columns.
                let mut c = unsafe { c.share() };
                self.columns_of(i, rows, words, j..self.n.min(j + width), wide, &mut c);
            });
        }
    }

    /// Computes these columns of the rows of a block, which begin at row `i` of C.
    fn columns_of(
        &self,
        i: usize,
        rows: &[Row],
        block: &[i32],
        columns: Range<usize>,
        wide: &mut [i32],
        c: &mut Grid<i32>,
    ) {
        // Columns before this one are finished.
        let (mut finished, n) = (columns.start, columns.end);
        for j in columns.step_by(NR) {
            self.panel(i, rows, block, j, wide, c);
            let end = n.min(j + NR);
            // Few rows are finished in one piece.
            if let Some(Float { epilogue, .. }) = &self.float
                && (end == n || rows.len() >= MR && end - finished >= FINISH)
            {
                let rest = Epilogue { alpha: 1.0, bias: None, ..**epilogue };
                if !rest.is_identity() {
                    rest.apply(&mut c.floats(), i, rows.len(), finished, end - finished);
                }
                finished = end;
            }
        }
    }

    /// Computes the columns of the panel at column `j` of the rows of a block, which begin at row `i` of C.
    // Left to the compiler: kept out of `run`, plain SIMD128 is 2 % slower.
    fn panel(&self, i: usize, rows: &[Row], block: &[i32], j: usize, wide: &mut [i32], c: &mut Grid<i32>) {
        let (mode, p, width) = (self.b.mode, j / NR, NR.min(self.n - j));
        let words = rows::words(mode, self.k);
        let columns = self.columns(j, width);
        let is_widened = mode == Mode::I16 && rows.len() >= WIDEN;
        let (panel, steps) = match mode {
            Mode::Maddubs => (&[][..], self.b.steps(p)),
            _ => (self.b.panel(p), Steps::default()),
        };
        if is_widened {
            microkernel::widen(panel, &mut wide[..NR * words]);
        }
        let mut tile = [[0; NR]; MR];
        let tiles = rows.len().div_ceil(MR);
        for (t, rows) in rows.chunks(MR).enumerate() {
            let (r, count) = (t * MR, rows.len());
            let a = &block[r * words..][..count * words];
            match mode {
                Mode::I16 if is_widened => microkernel::i16_widened(count, a, wide, &mut tile),
                Mode::Maddubs if mode.exists() => microkernel::maddubs(count, a, steps, t, tiles, &mut tile),
                Mode::Sdot | Mode::Usdot if mode.exists() => {
                    let quads = self.k.div_ceil(4) * count;
                    microkernel::dot(count, mode == Mode::Sdot, &a[..quads], panel, &mut tile);
                }
                _ => microkernel::i16(count, a, panel, &mut tile),
            }
            self.correct(i + r, rows, &columns, &mut tile);
            for (row, tile) in tile.iter().enumerate().take(count) {
                let c = c.row(i + r + row, j, width);
                match c.first_chunk_mut() {
                    Some(c) => *c = *tile,
                    None => c.copy_from_slice(&tile[..width]),
                }
            }
        }
    }

    fn columns(&self, j: usize, width: usize) -> Columns {
        let sums = self.b.sums(j / NR);
        let zero = columns(if self.b_zero.is_empty() { &[0] } else { self.b_zero }, j, width);
        let zero = zero.map(|zero| zero.wrapping_sub(self.b.offset));
        let bias = self.float.as_ref().and_then(|float| float.epilogue.bias);
        Columns {
            // Adding this zero changes no number.
            bias: bias.map_or([-0.0; NR], |bias| float_columns(bias, j, width)),
            sum: from_fn(|c| sums[c].wrapping_sub(zero[c].wrapping_mul(self.k as i32))),
            zero,
            scale: float_columns(self.float.as_ref().map_or(&[1.0], |float| float.b_scale), j, width),
        }
    }

    /// Turns sums of products, at row `i` of C, into the result, the epilogue up to the bias included.
    #[inline(never)]
    fn correct(&self, i: usize, rows: &[Row], columns: &Columns, tile: &mut Tile) {
        for (r, (row, tile)) in rows.iter().zip(tile).enumerate() {
            let (zero, sum) = (I32x4::splat(row.zero), I32x4::splat(row.sum));
            for (v, tile) in tile.as_chunks_mut().0.iter_mut().enumerate() {
                let column = |values: &[i32; NR]| I32x4::from_array(values.as_chunks().0[v]);
                let x = I32x4::from_array(*tile) - zero * column(&columns.sum) - sum * column(&columns.zero);
                let Some(Float { a_scale, epilogue, .. }) = &self.float else {
                    *tile = x.to_array();
                    continue;
                };
                let column = |values: &[f32; NR]| F32x4::from_array(values.as_chunks().0[v]);
                let scale = F32x4::splat(a_scale.map_or(row.scale, |scales| nth(scales, i + r)));
                let mut x = F32x4::from_int(x) * (scale * column(&columns.scale));
                if epilogue.bias.is_some() || epilogue.alpha != 1.0 {
                    x = x * F32x4::splat(epilogue.alpha) + column(&columns.bias);
                }
                *tile = x.to_bits().to_array();
            }
        }
    }
}

/// Element `i` of a slice that has one for all or one for each.
fn nth<T: Copy>(values: &[T], i: usize) -> T {
    if values.len() == 1 { values[0] } else { values[i] }
}

/// Elements `j..j + width` of such a slice; others do not matter.
#[inline(never)]
fn columns(values: &[i32], j: usize, width: usize) -> [i32; NR] {
    let values = match values {
        [one] => return [*one; NR],
        values => &values[j..],
    };
    values.first_chunk().copied().unwrap_or_else(|| from_fn(|c| if c < width { values[c] } else { 0 }))
}

/// The same of floats.
fn float_columns(values: &[f32], j: usize, width: usize) -> [f32; NR] {
    columns(bytemuck::cast_slice(values), j, width).map(|bits| f32::from_bits(bits as u32))
}
