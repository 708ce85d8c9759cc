//! A block of rows of A as the microkernels read it: words of 32 bits, see `microkernel.rs`.
//!
//! Bytes are moved to be signed or unsigned as the mode wants them, together with their zero point. Rows of floats are
//! quantised on the way, so that their bytes, scales and zero points exist nowhere else.

use super::microkernel::{MR, NR};
use super::packing::Accuracy;
use super::{Int8, Mode};
use crate::arch::I32x4;
use crate::parallel::{self, Grid};
use crate::quantize::{BLOCK, Quantizer, Range};
use crate::slices::blocks;
use crate::vector::IntVector;

/// Rows as the caller has them.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// Bytes with their zero points: one or one for each row.
    Int8(Int8<'a>, &'a [i32]),
    /// Floats to be quantised, each row by itself.
    F32(&'a [f32]),
}

/// Words of a block at most: 384 KiB, which leaves room for a panel of B in a small L2 cache.
const MOST: usize = 96 << 10;

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
    let most = MOST / if words == 0 { 1 } else { words } / MR * MR;
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
            let is_signed = matches!(a, Source::Int8(Int8::I8(_), _));
            let mut line = Line { mode, is_signed, tile, row: r, rows: count, word: 0 };
            *row = match a {
                Source::Int8(a, zero) => line.bytes(&a.bytes()[start..][..k], super::nth(zero, i)),
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

    #[inline(never)]
    fn bytes(&mut self, bytes: &[u8], zero: i32) -> Row {
        for bytes in bytes.chunks(BLOCK) {
            let mut chunk = [0; BLOCK];
            chunk[..bytes.len()].copy_from_slice(bytes);
            self.put(&chunk);
        }
        // A signed byte whose top bit is flipped is an unsigned one, 128 larger.
        let flip = if self.is_signed { 128 } else { 0 };
        let sum = bytes.iter().fold(0i32, |sum, x| sum.wrapping_add(i32::from(x ^ flip)));
        let sum = sum.wrapping_sub(i32::from(flip).wrapping_mul(bytes.len() as i32));
        self.moved(bytes.len(), sum, zero, 1.0)
    }

    #[inline(never)]
    fn floats(&mut self, x: &[f32], max: u8) -> Row {
        let range = Range::of(x, max);
        let quantizer = Quantizer::new(range.scale, range.zero_point, max);
        let mut sum = I32x4::splat(0);
        for x in blocks(x, 0.0, &mut [0.0; BLOCK]) {
            let vectors = quantizer.vectors(x);
            vectors.iter().for_each(|&vector| sum = sum + vector);
            self.put(&I32x4::narrow(vectors));
        }
        // What stands behind the end counts as 0, which is represented by the zero point.
        let padding = x.len().next_multiple_of(BLOCK) - x.len();
        let sum = sum.to_array().into_iter().fold(0, i32::wrapping_add);
        let zero = i32::from(range.zero_point);
        self.moved(x.len(), sum.wrapping_sub(zero * padding as i32), zero, range.scale)
    }

    fn moved(&self, k: usize, sum: i32, zero: i32, scale: f32) -> Row {
        let offset = self.offset();
        Row { zero: zero.wrapping_sub(offset), sum: sum.wrapping_sub(offset.wrapping_mul(k as i32)), scale }
    }

    /// Writes the words of these bytes, as far as the row goes. Beyond `k` they meet zeros of B.
    #[inline(always)]
    fn put(&mut self, bytes: &[u8; BLOCK]) {
        let flip = if self.offset() == 0 { 0 } else { 0x8080_8080 };
        let start = self.word * self.rows + self.row;
        let mut words = self.tile.get_mut(start..).unwrap_or_default().iter_mut().step_by(self.rows);
        let mut write = |word| words.next().map_or((), |to| *to = word);
        if self.mode == Mode::I16 {
            let mask = if self.is_signed { !0 } else { 0x00ff_00ff };
            for pair in bytes.as_chunks::<2>().0 {
                write(bytemuck::cast::<_, i32>(pair.map(|byte| i16::from(byte as i8))) & mask);
            }
            self.word += BLOCK / 2;
        } else {
            for quad in bytes.as_chunks().0 {
                write((u32::from_ne_bytes(*quad) ^ flip) as i32);
            }
            self.word += BLOCK / 4;
        }
    }
}
