//! B as the microkernels read it.
//!
//! All bytes are signed; an unsigned B is moved down, together with its zero point. A panel is [`NR`] columns over all
//! of `k`, and what one lane consumes, two or four neighbouring `k` of a column, stays together. Behind the panels
//! stand the sums of the columns, which zero points of A are multiplied with, and a trailer that says what is packed.
//!
//! For [`Mode::Maddubs`] a panel is a list of steps. A sum of products of two weights with bytes of A fits an `i16`
//! if the positive weights add up to 128 at most and the negative ones to -128 (or 258, where A has seven bits), and
//! so does a sum of four: most steps of eight `k` are like that with real weights, and then half of the additions in 32
//! bits are saved. Other eights are taken apart into two steps of four. If even two weights are too large, what is
//! too much of them goes into an extra step on the same four `k`. So any weights can be packed, and the more of them
//! are near the bounds the longer it takes to multiply.

use super::Int8;
use super::microkernel::{NR, Steps};
use super::mode::Mode;
use crate::arch::I8x16;
use crate::vector::{ByteVector, ShortVector};
use std::array::from_fn;

/// How finely a row of A is quantised in [`gemm_rows`](super::gemm_rows).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Accuracy {
    /// To 0..=255, as ONNX `DynamicQuantizeLinear` does.
    #[default]
    Exact,
    /// To 0..=127 where that is faster.
    Fast,
}

impl Accuracy {
    /// The largest byte of A.
    pub(super) const fn max(self) -> u8 {
        match self {
            Accuracy::Exact => 255,
            Accuracy::Fast => 127,
        }
    }

    /// How large a sum of weights may be if its product with bytes of A shall fit an `i16`.
    const fn bound(self) -> i16 {
        i16::MAX / self.max() as i16
    }
}

/// Bytes of the trailer: mode and accuracy, two of padding, then what was subtracted from B as an `i32`.
const TRAILER: usize = 8;
/// Bytes of a panel's entry in the table of [`Mode::Maddubs`]: how many steps of eight and of four come before, each a
/// `u32`. One entry more says how many there are.
const ENTRY: usize = 8;
/// Bytes of a panel over four `k`.
const QUADS: usize = 4 * NR;
/// Bytes of a panel over the eight `k` that are packed together.
const EIGHT: usize = 8 * NR;
/// So many `k` the positions of steps can tell apart.
const MAX_K: usize = 4 << 16;

/// Bytes that B, `[k, n]`, takes when packed by [`pack_b`](super::pack_b).
pub const fn packed_len(k: usize, n: usize) -> usize {
    let panels = n.div_ceil(NR);
    panel_len(Mode::I16, k).saturating_mul(panels).saturating_add(tail_len(n))
}

/// Bytes of a panel, if all are equal.
const fn panel_len(mode: Mode, k: usize) -> usize {
    let unit = if let Mode::I16 = mode { 2 } else { 4 };
    k.div_ceil(unit).saturating_mul(unit * NR)
}

/// Bytes of the sums of columns and the trailer.
const fn tail_len(n: usize) -> usize {
    n.div_ceil(NR).saturating_mul(4 * NR).saturating_add(TRAILER)
}

/// How a matrix B is going to be packed. This is decided before, since the length depends on the weights.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    mode: Mode,
    accuracy: Accuracy,
    k: usize,
    n: usize,
    /// What is subtracted from B.
    offset: i32,
    /// Of all panels, if the mode has steps.
    steps: Count,
}

/// How many steps of eight and of four `k` there are.
#[derive(Clone, Copy, Default, Debug)]
struct Count {
    double: usize,
    single: usize,
}

impl Count {
    /// Bytes of the steps and their positions.
    fn len(&self) -> usize {
        self.double.saturating_mul(2 * QUADS + 2).saturating_add(self.single.saturating_mul(QUADS + 2))
    }
}

impl Packing {
    /// A packing of B, `[k, n]`, in this mode; see [`Packing::len`].
    ///
    /// Element `(r, c)` is `b[r * row_stride + c * col_stride]`, so a transposed B costs nothing extra. If `k` is over
    /// 262144, [`Mode::Maddubs`] becomes [`Mode::I16`].
    ///
    /// # Panics
    /// If `b` is too short, or if the build does not have the mode.
    pub fn new(
        mode: Mode,
        accuracy: Accuracy,
        k: usize,
        n: usize,
        b: Int8,
        row_stride: usize,
        col_stride: usize,
    ) -> Packing {
        assert!(mode.exists(), "gemm_int8: the mode is not in this build");
        let mode = if mode == Mode::Maddubs && k > MAX_K { Mode::I16 } else { mode };
        let matrix = Matrix::new(k, n, b, row_stride, col_stride);
        let mut packing = Packing { mode, accuracy, k, n, offset: matrix.middle(), steps: Count::default() };
        if mode == Mode::Maddubs {
            packing.offset = matrix.offset();
            let mut steps = Count::default();
            for l in (0..k).step_by(8) {
                for j in (0..n).step_by(NR) {
                    match packing.fit(&matrix.eight(l, j, packing.offset)) {
                        Fit::Double => steps.double += 1,
                        Fit::Single { excess } => steps.single += packing.quads(l, excess),
                    }
                }
            }
            packing.steps = steps;
        }
        packing
    }

    /// The packing that is multiplied fastest among this mode and [`Mode::I16`], and with rows of A as exact as
    /// `accuracy` says or better.
    ///
    /// # Panics
    /// As [`Packing::new`].
    #[inline]
    pub fn fastest(
        mode: Mode,
        accuracy: Accuracy,
        k: usize,
        n: usize,
        b: Int8,
        row_stride: usize,
        col_stride: usize,
    ) -> Packing {
        let new = |mode, accuracy| Packing::new(mode, accuracy, k, n, b, row_stride, col_stride);
        let mut best = new(mode, Accuracy::Exact);
        if mode == Mode::Maddubs && accuracy == Accuracy::Fast {
            let fast = new(mode, accuracy);
            // Not for a few percent.
            if 10 * fast.cost() < 9 * best.cost() {
                best = fast;
            }
        }
        let i16 = new(Mode::I16, Accuracy::Exact);
        if i16.cost() < best.cost() { i16 } else { best }
    }

    /// How it is packed.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Bytes that the packed matrix takes; never none.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        let panels = self.n.div_ceil(NR);
        let panels_len = match self.mode {
            Mode::Maddubs => self.steps.len().saturating_add(ENTRY * (panels + 1)),
            mode => panel_len(mode, self.k).saturating_mul(panels),
        };
        panels_len.saturating_add(tail_len(self.n))
    }

    /// Time that a tile takes, in a unit of no meaning; measured in V8 on a Zen 4 core.
    fn cost(&self) -> usize {
        let eights = self.k.div_ceil(8).saturating_mul(self.n.div_ceil(NR));
        match self.mode {
            Mode::I16 => eights.saturating_mul(31),
            Mode::Sdot | Mode::Usdot => eights.saturating_mul(20),
            Mode::Maddubs => 21 * self.steps.double + 15 * self.steps.single,
        }
    }

    /// Packs B, the one that this was made for.
    ///
    /// # Panics
    /// If `packed` does not have [`Packing::len`] bytes, or if `b` is another matrix.
    pub fn pack(&self, b: Int8, row_stride: usize, col_stride: usize, packed: &mut [u8]) {
        assert!(packed.len() == self.len(), "pack_b: packed has the wrong length");
        let matrix = Matrix::new(self.k, self.n, b, row_stride, col_stride);
        let (panels, tail) = packed.split_at_mut(packed.len() - tail_len(self.n));
        let (sums, trailer) = tail.split_at_mut(tail.len() - TRAILER);
        trailer[..4].copy_from_slice(&[self.mode as u8, self.accuracy as u8, 0, 0]);
        trailer[4..].copy_from_slice(&self.offset.to_le_bytes());
        let sums = sums.as_chunks_mut::<{ 4 * NR }>().0;
        match self.mode {
            Mode::I16 | Mode::Sdot | Mode::Usdot => self.pack_panels(&matrix, panels, sums),
            Mode::Maddubs => self.pack_steps(&matrix, panels, sums),
        }
    }

    /// Neighbouring `k` of a column beside each other, as many as the mode takes together.
    fn pack_panels(&self, matrix: &Matrix, panels: &mut [u8], sums: &mut [[u8; 4 * NR]]) {
        let len = panel_len(self.mode, self.k);
        for (p, sums) in sums.iter_mut().enumerate() {
            let mut columns = Columns::default();
            for (e, to) in panels[p * len..][..len].chunks_mut(EIGHT).enumerate() {
                let eight = matrix.eight(8 * e, p * NR, self.offset);
                columns.add(&eight);
                let all = bytes::<EIGHT>(if self.mode == Mode::I16 { eight.pairs() } else { eight.quads() });
                match to.first_chunk_mut() {
                    Some(to) => *to = all,
                    None => to.copy_from_slice(&all[..to.len()]),
                }
            }
            *sums = columns.bytes();
        }
    }

    fn pack_steps(&self, matrix: &Matrix, panels: &mut [u8], sums: &mut [[u8; 4 * NR]]) {
        let Count { double, single } = self.steps;
        let (data, panels) = panels.split_at_mut(2 * QUADS * double);
        let double_data = data.as_chunks_mut::<{ 2 * QUADS }>().0;
        let (data, panels) = panels.split_at_mut(QUADS * single);
        let single_data = data.as_chunks_mut::<QUADS>().0;
        let (positions, panels) = panels.split_at_mut(2 * double);
        let double_positions = positions.as_chunks_mut::<2>().0;
        let (positions, table) = panels.split_at_mut(2 * single);
        let single_positions = positions.as_chunks_mut::<2>().0;
        let other = "pack_b: b is not the matrix that the packing was made for";
        let mut count = Count::default();
        let mut table = table.as_chunks_mut::<ENTRY>().0.iter_mut();
        let mut enter = |count: Count| {
            let entry = table.next().expect("one for each panel and one more");
            entry[..4].copy_from_slice(&(count.double as u32).to_le_bytes());
            entry[4..].copy_from_slice(&(count.single as u32).to_le_bytes());
        };
        for (p, sums) in sums.iter_mut().enumerate() {
            enter(count);
            let mut columns = Columns::default();
            for l in (0..self.k).step_by(8) {
                let eight = matrix.eight(l, p * NR, self.offset);
                columns.add(&eight);
                match self.fit(&eight) {
                    Fit::Double => {
                        *double_data.get_mut(count.double).expect(other) = bytes(eight.quads());
                        double_positions[count.double] = position(l);
                        count.double += 1;
                    }
                    Fit::Single { excess } => {
                        let mut step = |l: usize, quad: &[u8; QUADS]| {
                            *single_data.get_mut(count.single).expect(other) = *quad;
                            single_positions[count.single] = position(l);
                            count.single += 1;
                        };
                        let mut quads = bytes::<{ 2 * QUADS }>(eight.quads());
                        let quads = quads.as_chunks_mut::<QUADS>().0.iter_mut();
                        for ((l, quad), is_over) in (l..self.k).step_by(4).zip(quads).zip(excess) {
                            let excess = is_over.then(|| self.take_excess(quad));
                            step(l, quad);
                            excess.iter().for_each(|excess| step(l, excess));
                        }
                    }
                }
            }
            *sums = columns.bytes();
        }
        enter(count);
        assert!(count.double == double && count.single == single, "{other}");
    }

    /// Whether four products of a column, those of a lane, fit an `i16` together, or at least two of them.
    #[inline(always)]
    fn fit(&self, Eight([a, b, c, d]): &Eight) -> Fit {
        let ([a, minus_a], [b, minus_b]) = (a.magnitudes(), b.magnitudes());
        let ([c, minus_c], [d, minus_d]) = (c.magnitudes(), d.magnitudes());
        // At most 256, which saturated may be taken for 255.
        let pairs =
            [a.add_saturated(b), c.add_saturated(d), minus_a.add_saturated(minus_b), minus_c.add_saturated(minus_d)];
        // A sum of four that is over 258 is over 254 if the one or the other sum of two is taken less 4, or if either was
        // saturated; so is little else.
        let (less, most, most_of_two) = match self.accuracy {
            Accuracy::Exact => (0, 128, 128),
            Accuracy::Fast => (4, 254, 255),
        };
        let fours = pairs.map(|x| x.add_saturated(x.swap_halves().sub_saturated(I8x16::splat(less))));
        let fit = |[a, b, c, d]: [I8x16; 4], most| a.max(b).max(c.max(d)).sub_saturated(I8x16::splat(most)).are_zero();
        if fit(fours, most) == [true; 2] {
            return Fit::Double;
        }
        Fit::Single { excess: fit(pairs, most_of_two).map(|fits| !fits) }
    }

    /// How many steps of four the rows from `l` on take.
    #[inline(always)]
    fn quads(&self, l: usize, excess: [bool; 2]) -> usize {
        let [first, second] = excess.map(|is_over| 1 + usize::from(is_over));
        first + if l + 4 < self.k { second } else { 0 }
    }

    /// Takes from the weights of a step what is too much of them.
    #[inline(never)]
    fn take_excess(&self, quad: &mut [u8; QUADS]) -> [u8; QUADS] {
        let (bound, mut excess) = (self.accuracy.bound(), [0; QUADS]);
        for (pair, excess) in quad.as_chunks_mut::<2>().0.iter_mut().zip(excess.as_chunks_mut::<2>().0) {
            let sum = pair.iter().map(|&x| i16::from(x as i8)).sum::<i16>();
            // Of opposite signs, both fit by themselves, and so does their sum.
            let over = (sum - sum.clamp(-bound, bound)) as u8;
            pair[0] = pair[0].wrapping_sub(over);
            excess[0] = over;
        }
        excess
    }
}

/// The steps that eight `k` of a panel are packed into.
enum Fit {
    Double,
    /// Two of four, and of each whether another follows.
    Single {
        excess: [bool; 2],
    },
}

/// Eight rows of a panel: the first and the fifth in a vector, the second and the sixth, and so on.
struct Eight([I8x16; 4]);

impl Eight {
    /// Two neighbouring `k` of each column beside each other.
    #[inline(always)]
    fn pairs(&self) -> [I8x16; 4] {
        let Eight([a, b, c, d]) = *self;
        let ([first, third], [second, fourth]) = (a.zip(b), c.zip(d));
        [first, second, third, fourth]
    }

    /// Four neighbouring `k` of each column beside each other.
    #[inline(always)]
    fn quads(&self) -> [I8x16; 4] {
        let [a, b, c, d] = self.pairs();
        let ([first, second], [third, fourth]) = (a.zip_pairs(b), c.zip_pairs(d));
        [first, second, third, fourth]
    }
}

/// Vectors one after the other.
#[inline(always)]
fn bytes<const BYTES: usize>(vectors: [I8x16; 4]) -> [u8; BYTES] {
    const { assert!(BYTES == EIGHT) };
    let mut all = [0; BYTES];
    for (to, vector) in all.as_chunks_mut::<16>().0.iter_mut().zip(vectors) {
        *to = vector.to_array();
    }
    all
}

fn position(l: usize) -> [u8; 2] {
    ((l / 4) as u16).to_le_bytes()
}

/// Sums of the columns of a panel.
#[derive(Default)]
struct Columns([i32; NR]);

impl Columns {
    #[inline(always)]
    fn add(&mut self, eight: &Eight) {
        // Few enough for 16 bits.
        let [a, b, c, d] = eight.pairs().map(I8x16::sum_pairs);
        let sums = (a + b + (c + d)).to_array();
        for c in 0..NR {
            self.0[c] = self.0[c].wrapping_add(sums[c].into());
        }
    }

    fn bytes(&self) -> [u8; 4 * NR] {
        from_fn(|i| self.0[i / 4].to_le_bytes()[i % 4])
    }
}

/// B before it is packed.
struct Matrix<'a> {
    k: usize,
    n: usize,
    bytes: &'a [u8],
    is_signed: bool,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    fn new(k: usize, n: usize, b: Int8<'a>, row_stride: usize, col_stride: usize) -> Self {
        let (bytes, is_signed) = (b.bytes(), matches!(b, Int8::I8(_)));
        Matrix { k, n, bytes, is_signed, row_stride, col_stride }
    }

    /// What makes any B signed bytes.
    fn middle(&self) -> i32 {
        if self.is_signed { 0 } else { 128 }
    }

    /// What makes B small signed bytes: its mean, as nearly as the extremes allow.
    fn offset(&self) -> i32 {
        if self.is_signed || self.k == 0 || self.n == 0 {
            return self.middle();
        }
        let (mut low, mut high, mut sum) = (u8::MAX, u8::MIN, 0u64);
        for r in 0..self.k {
            let mut line = |bytes: &[u8]| {
                for &x in bytes {
                    (low, high, sum) = (low.min(x), high.max(x), sum + u64::from(x));
                }
            };
            match self.col_stride {
                1 => line(&self.bytes[r * self.row_stride..][..self.n]),
                stride => (0..self.n).for_each(|c| line(&[self.bytes[r * self.row_stride + c * stride]])),
            }
        }
        let count = (self.k * self.n) as u64;
        let mean = ((sum + count / 2) / count) as i32;
        // A zero point in the middle, which is common, then needs no correction.
        let mean = if (126..=130).contains(&mean) { 128 } else { mean };
        mean.clamp(i32::from(high) - 127, i32::from(low) + 128)
    }

    /// The eight rows from `l` on of the columns from `j` on, less `offset`; zeros beyond the matrix.
    #[inline(always)]
    fn eight(&self, l: usize, j: usize, offset: i32) -> Eight {
        let start = l * self.row_stride + j * self.col_stride;
        if self.col_stride == 1 && l + 8 <= self.k && j + NR <= self.n {
            let bytes = &self.bytes[start..][..7 * self.row_stride + NR];
            // SAFETY: these are eight rows, of which the last has NR = 8 bytes.
            let row = |r: usize| unsafe { bytes.as_ptr().add(r * self.row_stride) };
            let offset = I8x16::splat(offset as u8);
            // SAFETY: as before.
            return Eight(from_fn(|r| unsafe { I8x16::load_halves(row(r), row(r + 4)) }.sub(offset)));
        }
        let mut rows = [[0; NR]; 8];
        self.edge(start, 8.min(self.k - l), NR.min(self.n - j), offset, &mut rows);
        // SAFETY: a row is NR = 8 bytes.
        Eight(from_fn(|r| unsafe { I8x16::load_halves(rows[r].as_ptr(), rows[r + 4].as_ptr()) }))
    }

    /// The first elements of `rows`, one by one.
    #[inline(never)]
    fn edge(&self, start: usize, height: usize, width: usize, offset: i32, rows: &mut [[u8; NR]]) {
        for (r, row) in rows.iter_mut().enumerate().take(height) {
            for (c, x) in row.iter_mut().enumerate().take(width) {
                let byte = self.bytes[start + r * self.row_stride + c * self.col_stride];
                *x = byte.wrapping_sub(offset as u8);
            }
        }
    }
}

/// A packed matrix that is read.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    pub mode: Mode,
    pub accuracy: Accuracy,
    pub offset: i32,
    k: usize,
    sums: &'a [[u8; 4 * NR]],
    panels: &'a [u8],
    table: &'a [[u8; ENTRY]],
}

impl<'a> Packed<'a> {
    pub fn new(k: usize, n: usize, packed: &'a [u8]) -> Self {
        let wrong = "gemm_int8: packed_b has the wrong length";
        let (panels, tail) = packed.split_at(packed.len().checked_sub(tail_len(n)).expect(wrong));
        let (sums, trailer) = tail.split_at(tail.len() - TRAILER);
        let mode = Mode::ALL.into_iter().find(|mode| *mode as u8 == trailer[0] && mode.exists());
        let mode = mode.expect("gemm_int8: packed_b is packed in a mode that this build does not have");
        let accuracy = if trailer[1] == Accuracy::Fast as u8 { Accuracy::Fast } else { Accuracy::Exact };
        let offset = i32::from_le_bytes(trailer[4..].try_into().expect("four bytes"));
        let count = n.div_ceil(NR);
        let mut table: &[[u8; ENTRY]] = &[];
        let expected = match mode {
            Mode::Maddubs => {
                let start = panels.len().checked_sub(ENTRY * (count + 1)).expect(wrong);
                table = panels[start..].as_chunks().0;
                Count::len(&entry(&table[count])).saturating_add(ENTRY * (count + 1))
            }
            mode => panel_len(mode, k).saturating_mul(count),
        };
        assert!(panels.len() == expected, "{wrong}");
        Packed { mode, accuracy, offset, k, sums: sums.as_chunks().0, panels, table }
    }

    /// Sums of the columns of panel `p`.
    pub fn sums(&self, p: usize) -> [i32; NR] {
        let (sums, _) = self.sums[p].as_chunks::<4>();
        from_fn(|c| i32::from_le_bytes(sums[c]))
    }

    /// Panel `p` if all panels are equally long.
    pub fn panel(&self, p: usize) -> &'a [u8] {
        let len = panel_len(self.mode, self.k);
        &self.panels[p * len..][..len]
    }

    /// Panel `p` if panels are steps.
    pub fn steps(&self, p: usize) -> Steps<'a> {
        let (total, start, end) =
            (entry(&self.table[self.table.len() - 1]), entry(&self.table[p]), entry(&self.table[p + 1]));
        let (double_data, rest) = self.panels.split_at(2 * QUADS * total.double);
        let (single_data, rest) = rest.split_at(QUADS * total.single);
        let (double_positions, rest) = rest.split_at(2 * total.double);
        let after = self.table.get(p + 2).map_or(end, entry);
        Steps {
            next: [
                &double_data[2 * QUADS * end.double..2 * QUADS * after.double],
                &single_data[QUADS * end.single..QUADS * after.single],
            ],
            double_data: &double_data[2 * QUADS * start.double..2 * QUADS * end.double],
            double_positions: &double_positions.as_chunks().0[start.double..end.double],
            single_data: &single_data[QUADS * start.single..QUADS * end.single],
            single_positions: &rest.as_chunks().0[start.single..end.single],
        }
    }
}

fn entry(bytes: &[u8; ENTRY]) -> Count {
    let (numbers, _) = bytes.as_chunks::<4>();
    let [double, single] = [0, 1].map(|i| u32::from_le_bytes(numbers[i]) as usize);
    Count { double, single }
}
