//! A block of rows of A as the microkernels read it: words of 32 bits, see `microkernel.rs`.
//!
//! Bytes are moved to be signed or unsigned as the mode wants them, together with their zero point. Rows of floats are
//! quantised on the way, so that their bytes, scales and zero points exist nowhere else.

use super::microkernel::{MR, NR};
use super::packing::Accuracy;
use super::{Int8, Mode};
use crate::arch::I32x4;
use crate::parallel::{self, Grid};
use crate::quantize::{Quantizer, Range};
use crate::vector::{IntVector, LANES};

/// Rows as the caller has them.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// Bytes with their zero points: one or one for each row.
    Int8(Int8<'a>, &'a [i32]),
    /// Floats to be quantised, each row by itself.
    F32(&'a [f32]),
}

/// Words of a block: 384 KiB, which leaves room for a panel of B in a small L2 cache.
const BLOCK: usize = 96 << 10;

/// Words of a row.
pub(super) const fn words(mode: Mode, k: usize) -> usize {
    match mode {
        Mode::I16 => k.div_ceil(2),
        // Steps are of two words.
        _ => 2 * k.div_ceil(8),
    }
}

/// Rows of the blocks that `m` rows are cut into.
pub(super) const fn block_rows(mode: Mode, m: usize, k: usize) -> usize {
    let words = words(mode, k);
    let most = BLOCK / if words == 0 { 1 } else { words } / MR * MR;
    let most = if most == 0 { MR } else { most };
    // Alike, in tiles, and not more than there are.
    let blocks = m.div_ceil(most);
    if blocks == 0 { 0 } else { m.div_ceil(blocks).div_ceil(MR).saturating_mul(MR) }
}

/// How many `i32` of scratch space [`gemm_i32`](super::gemm_i32), [`gemm_f32`](super::gemm_f32) and
/// [`gemm_rows`](super::gemm_rows) need for an A of shape `[m, k]`, whatever the mode, for as many threads as there are
/// where this is called. With less the work is shared among fewer; what a single thread takes is the least.
pub fn scratch_len(m: usize, k: usize) -> usize {
    scratch_len_for(parallel::threads(), m, k)
}

/// [`scratch_len`] for so many threads.
pub(super) const fn scratch_len_for(threads: usize, m: usize, k: usize) -> usize {
    let [wide, narrow] = [block_rows(Mode::I16, m, k), block_rows(Mode::Maddubs, m, k)];
    let wide_panels = threads.saturating_mul(NR).saturating_mul(words(Mode::I16, k));
    let wide_block = wide.saturating_mul(words(Mode::I16, k)).saturating_add(wide_panels);
    let narrow_block = narrow.saturating_mul(words(Mode::Maddubs, k));
    let block = if wide_block > narrow_block { wide_block } else { narrow_block };
    let rows = if wide > narrow { wide } else { narrow };
    block.saturating_add(rows.saturating_mul(Row::LEN))
}

/// What belongs to a row of the block beside its words.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Row {
    /// The zero point, as moved.
    pub zero: i32,
    /// The sum of the elements, as moved.
    pub sum: i32,
    /// The scale, if the row was quantised here.
    pub scale: f32,
}

// SAFETY: numbers of 32 bits, for which all zeros are a value.
unsafe impl bytemuck::Zeroable for Row {}
// SAFETY: numbers of 32 bits without padding, of which every pattern is a value.
unsafe impl bytemuck::Pod for Row {}

impl Row {
    /// Words of a `Row`.
    pub const LEN: usize = size_of::<Row>() / 4;
}

/// Packing an element takes as long as so many multiply-adds.
const WORK: usize = 8;

/// Bytes that are packed together: whole words in every mode.
const CHUNK: usize = 4 * LANES;

/// Packs the rows of A from row `i` on, one for each of `rows`, in tiles of [`MR`].
pub(super) fn pack(
    mode: Mode,
    accuracy: Accuracy,
    k: usize,
    a: Source,
    a_stride: usize,
    i: usize,
    rows: &mut [Row],
    block: &mut [i32],
) {
    let (words, m) = (words(mode, k), rows.len());
    let (rows, block) = (Grid::new(rows, MR), Grid::new(block, MR * words));
    parallel::for_each(m.div_ceil(MR), m.saturating_mul(k).saturating_mul(WORK), |t| {
        let count = MR.min(m - t * MR);
        // SAFETY: every tile has other rows and other words.
        let (mut rows, mut block) = unsafe { (rows.share(), block.share()) };
        let (rows, tile) = (rows.row(t, 0, count), block.row(t, 0, count * words));
        for (r, row) in rows.iter_mut().enumerate() {
            let i = i + t * MR + r;
            let start = if k == 0 { 0 } else { i * a_stride };
            let mut line = Line { mode, is_signed: false, tile, row: r, rows: count, word: 0 };
            *row = match a {
                Source::Int8(Int8::U8(a), zero) => line.bytes(&a[start..][..k], super::nth(zero, i)),
                Source::Int8(Int8::I8(a), zero) => {
                    line.is_signed = true;
                    line.bytes(bytemuck::cast_slice(&a[start..][..k]), super::nth(zero, i))
                }
                Source::F32(a) => line.floats(&a[start..][..k], accuracy.max()),
            };
        }
    });
}

/// The words of a row as they are written.
struct Line<'a> {
    mode: Mode,
    /// Whether the bytes are read so.
    is_signed: bool,
    tile: &'a mut [i32],
    /// Which of the tile's `rows` it is.
    row: usize,
    rows: usize,
    /// The next word.
    word: usize,
}

impl Line<'_> {
    /// What is subtracted from bytes to make them fit the mode; only their top bit changes.
    fn offset(&self) -> i32 {
        match self.mode {
            Mode::Sdot if !self.is_signed => 128,
            Mode::Usdot | Mode::Maddubs if self.is_signed => -128,
            _ => 0,
        }
    }

    fn bytes(&mut self, bytes: &[u8], zero: i32) -> Row {
        for bytes in bytes.chunks(CHUNK) {
            let mut chunk = [0; CHUNK];
            chunk[..bytes.len()].copy_from_slice(bytes);
            self.put(&chunk, bytes.len());
        }
        self.end();
        // A signed byte whose top bit is flipped is an unsigned one, 128 larger.
        let flip = if self.is_signed { 128 } else { 0 };
        let sum = bytes.iter().fold(0i32, |sum, x| sum.wrapping_add(i32::from(x ^ flip)));
        let sum = sum.wrapping_sub(i32::from(flip).wrapping_mul(bytes.len() as i32));
        self.moved(bytes.len(), sum, zero, 1.0)
    }

    fn floats(&mut self, x: &[f32], max: u8) -> Row {
        let range = Range::of(x, max);
        let quantizer = Quantizer::new(range.scale, range.zero_point, max);
        let mut sum = I32x4::splat(0);
        for x in x.chunks(CHUNK) {
            let vectors = quantizer.vectors(x);
            vectors.iter().for_each(|&vector| sum = sum + vector);
            self.put(&I32x4::narrow(vectors), x.len());
        }
        // What stands behind the end counts as 0, which is represented by the zero point.
        let padding = x.len().next_multiple_of(CHUNK) - x.len();
        let sum = sum.to_array().into_iter().fold(0, i32::wrapping_add);
        let zero = i32::from(range.zero_point);
        self.end();
        self.moved(x.len(), sum.wrapping_sub(zero * padding as i32), zero, range.scale)
    }

    fn moved(&self, k: usize, sum: i32, zero: i32, scale: f32) -> Row {
        let offset = self.offset();
        Row { zero: zero.wrapping_sub(offset), sum: sum.wrapping_sub(offset.wrapping_mul(k as i32)), scale }
    }

    /// Writes the words of the first `len` bytes.
    #[inline(always)]
    fn put(&mut self, bytes: &[u8; CHUNK], len: usize) {
        let flip = if self.offset() == 0 { 0 } else { 0x8080_8080 };
        let start = (self.word * self.rows + self.row).min(self.tile.len());
        let words = self.tile[start..].iter_mut().step_by(self.rows);
        if self.mode == Mode::I16 {
            let element = |x: u8| if self.is_signed { i16::from(x as i8) } else { i16::from(x) };
            for (word, &[a, b]) in words.zip(&bytes.as_chunks().0[..len.div_ceil(2)]) {
                *word = bytemuck::cast([element(a), element(b)]);
            }
            self.word += len.div_ceil(2);
        } else {
            for (word, &quad) in words.zip(&bytes.as_chunks().0[..len.div_ceil(4)]) {
                *word = (u32::from_ne_bytes(quad) ^ flip) as i32;
            }
            self.word += len.div_ceil(4);
        }
    }

    /// Fills up the row. What stands there meets zeros of B.
    fn end(&mut self) {
        let start = (self.word * self.rows + self.row).min(self.tile.len());
        self.tile[start..].iter_mut().step_by(self.rows).for_each(|word| *word = 0);
    }
}
