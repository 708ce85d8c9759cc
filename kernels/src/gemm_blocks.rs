//! f32 matrix multiplication with a B of 2, 4, 8 or 16-bit codes that share a scale by the block, as onnxruntime's
//! operators `MatMulNBits` and `MatMulBnb4` store it, or by the row.
//!
//! B is given transposed, `[n, k]`, and read where the model file has it; nothing is packed. A panel of
//! [`gemm`](crate::gemm), eight rows of that matrix, is expanded to `f32` when its turn comes. The lanes of a vector
//! are rows of the matrix, which are columns of the panel: a 32-bit word of codes from each row makes a vector of
//! words, of which masking takes one code per row and shifting brings the next. So what comes out is in the panel's
//! order without a transpose, and scales and zero points are vectors that last for a block. Each value is the
//! difference of code and zero point, rounded, times the scale, rounded, on every instruction set; the result has the
//! bits of [`gemm::gemm`](crate::gemm::gemm) with the matrix of these values.
//!
//! `MatMulBnb4` cuts its blocks from the flattened matrix. While `k` is a multiple of eight, words do not straddle rows
//! or blocks, and that only shortens the stretch for which a scale holds; otherwise values are taken one by one.
//!
//! What the saved memory costs, measured in V8 with relaxed SIMD on 768x768 weights, 4-bit codes in blocks of 128 to
//! `Nf4`: 1.03 to 1.09 times an f32 GEMM with 128 rows, 1.2 to 1.7 times with 16, 2.8 to 5.3 times with one. Small
//! blocks take longer than large ones: with a block, scales and zero points of eight rows are collected.

use crate::arch::{F32x4, I32x4};
use crate::gemm::{Epilogue, NR, Panels, expanded_len, gemm_panels};
use crate::gemm_half::{Halves, to_f32};
use crate::literal;
use crate::parallel::Grid;
use crate::vector::{FloatVector, IntVector, LANES};
use std::array::from_fn;

pub use crate::gemm::scratch_len;

/// Vectors in a row of a panel.
const VECTORS: usize = NR / LANES;

/// The levels of [`Code::Nf4`]: quantiles of the normal distribution, scaled to -1..=1.
const NF4: [f32; 16] = [
    -1.0,
    -0.6961928,
    -0.52507305,
    -0.3949175,
    -0.28444138,
    -0.18477343,
    -0.091050036,
    0.0,
    0.0795803,
    0.1609302,
    0.2461123,
    0.33791524,
    0.44070983,
    0.562617,
    0.72295684,
    1.0,
];

/// The levels of [`Code::Fp4`]: a sign and three bits.
const FP4: [f32; 16] = [
    0.0,
    0.0052083333,
    0.6666667,
    1.0,
    0.33333334,
    0.5,
    0.16666667,
    0.25,
    -0.0,
    -0.0052083333,
    -0.6666667,
    -1.0,
    -0.33333334,
    -0.5,
    -0.16666667,
    -0.25,
];

/// What a code means, and how codes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 0..=3, less the zero point; four in a byte, from the low bits up.
    Uint2,
    /// 0..=15, less the zero point; two in a byte, the low half first.
    Uint4,
    /// 0..=255, less the zero point.
    Uint8,
    /// 0..=65535, less the zero point; the low byte first.
    Uint16,
    /// -8..=7, less the zero point; stored as [`Code::Uint4`].
    Int4,
    /// -128..=127, less the zero point.
    Int8,
    /// -32768..=32767, less the zero point; stored as [`Code::Uint16`].
    Int16,
    /// One of sixteen levels in -1..=1, denser around 0 ("normal float"); two in a byte, the high half first. Blocks
    /// are cut from the flattened matrix and may cross its rows.
    Nf4,
    /// As [`Code::Nf4`], with the levels of a four-bit floating-point number.
    Fp4,
}

impl Code {
    /// Whether blocks of rows of `k` codes may have this many elements: a power of two from 16 on or, but for `Nf4` and
    /// `Fp4`, `k`.
    pub const fn supports_block(self, k: usize, block: usize) -> bool {
        (block >= 16 && block.is_power_of_two()) || (block == k && k > 0 && !self.has_table())
    }

    /// Bytes of the codes of a matrix `[n, k]`, or `usize::MAX` if that is too large or [`Code::supports_block`] is
    /// false.
    ///
    /// Integers: `[n, ceil(k / block), block * bits / 8]`, or rows of whole bytes. `Nf4` and `Fp4`: `[ceil(n * k / 2)]`.
    pub fn codes_len(self, n: usize, k: usize, block: usize) -> usize {
        self.pitch(k, block).and_then(|pitch| pitch.checked_mul(n)).map_or(usize::MAX, |codes| self.bytes(codes))
    }

    /// How many scales a matrix `[n, k]` has, or `usize::MAX` as in [`Code::codes_len`].
    ///
    /// Integers: `[n, ceil(k / block)]`. `Nf4` and `Fp4`: `[ceil(n * k / block)]`.
    pub fn scales_len(self, n: usize, k: usize, block: usize) -> usize {
        match self.codes_len(n, k, block) {
            usize::MAX => usize::MAX,
            _ if self.has_table() => (n * k).div_ceil(block),
            // Not more than the codes, so this does not overflow.
            _ => n * k.div_ceil(block),
        }
    }

    /// Bytes of the zero points of a matrix `[n, k]` if these are stored as codes, or `usize::MAX` as in
    /// [`Code::codes_len`]: `[n, ceil(ceil(k / block) * bits / 8)]`.
    pub fn zero_points_len(self, n: usize, k: usize, block: usize) -> usize {
        match self.codes_len(n, k, block) {
            usize::MAX => usize::MAX,
            _ => n * self.bytes(k.div_ceil(block)),
        }
    }

    /// Codes from row to row, if there can be such rows.
    fn pitch(self, k: usize, block: usize) -> Option<usize> {
        match self.supports_block(k, block) {
            false => None,
            true if self.has_table() => Some(k),
            true if block == k => k.checked_next_multiple_of(8usize.div_ceil(self.bits() as usize)),
            true => k.checked_next_multiple_of(block),
        }
    }

    /// In which byte a code begins.
    fn byte(self, code: usize) -> usize {
        match self.bits() {
            16 => code << 1,
            bits => code >> (3 - bits.trailing_zeros()),
        }
    }

    /// Bytes that so many codes take.
    fn bytes(self, codes: usize) -> usize {
        match self.bits() {
            16 => codes.saturating_mul(2),
            bits => codes.div_ceil(8 / bits as usize),
        }
    }

    /// Whether a code is a byte or two.
    pub const fn has_bytes(self) -> bool {
        matches!(self, Code::Uint8 | Code::Int8 | Code::Uint16 | Code::Int16)
    }

    const fn has_table(self) -> bool {
        matches!(self, Code::Nf4 | Code::Fp4)
    }

    fn bits(self) -> u32 {
        match self {
            Code::Uint2 => 2,
            Code::Uint4 | Code::Int4 | Code::Nf4 | Code::Fp4 => 4,
            Code::Uint8 | Code::Int8 => 8,
            Code::Uint16 | Code::Int16 => 16,
        }
    }

    /// The bits, of a word of codes, that make unsigned codes of signed ones: what is 0 becomes the middle.
    fn signs(self) -> i32 {
        match self {
            Code::Int4 => 0x8888_8888u32 as i32,
            Code::Int8 => 0x8080_8080u32 as i32,
            Code::Int16 => 0x8000_8000u32 as i32,
            _ => 0,
        }
    }

    /// The middle of the unsigned codes.
    fn middle(self) -> f32 {
        (1u32 << (self.bits() - 1)) as f32
    }
}

/// Numbers in the type of the model file.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// f32.
    Single(&'a [f32]),
    /// In 16 bits.
    Half(Halves<'a>),
}

impl Numbers<'_> {
    fn len(self) -> usize {
        match self {
            Numbers::Single(numbers) => numbers.len(),
            Numbers::Half(numbers) => numbers.bits().len(),
        }
    }

    /// The numbers in these places.
    fn pick(self, places: [usize; NR]) -> [f32; NR] {
        match self {
            Numbers::Single(numbers) => places.map(|i| numbers[i]),
            Numbers::Half(numbers) => {
                let (bits, mut picked) = (places.map(|i| numbers.bits()[i]), [0.0; NR]);
                to_f32(numbers.of_kind(&bits), &mut picked);
                picked
            }
        }
    }
}

/// The codes that stand for 0.
#[derive(Clone, Copy, Debug)]
pub enum Zero<'a> {
    /// The middle in all blocks: `2^(bits - 1)`, or 0 of signed codes.
    Implied,
    /// A code for each block, rows padded to whole bytes; as long as [`Code::zero_points_len`] says.
    Codes(&'a [u8]),
    /// A number for each block, `[n, ceil(k / block)]`; an integer if codes are signed.
    Floats(Numbers<'a>),
}

/// A matrix `[n, k]` in blocks of codes: `value = (code - zero_point) * scale`, or `level[code] * scale`.
///
/// It multiplies as its transpose, B of shape `[k, n]`.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a> {
    /// What the codes mean.
    pub code: Code,
    /// Elements in a block; see [`Code::supports_block`].
    pub block: usize,
    /// As many as [`Code::codes_len`] says. What fills up the last block of a row does not matter.
    pub codes: &'a [u8],
    /// As many as [`Code::scales_len`] says.
    pub scales: Numbers<'a>,
    /// For `Nf4` and `Fp4` these are [`Zero::Implied`] and have no meaning.
    pub zero_points: Zero<'a>,
}

/// `c[i, j] = activation(alpha * sum over l of a[i, l] * b[j, l] + bias[j]) + residual[i, j]`
///
/// A is `[m, k]` with `a_stride` elements between rows, `b` is `[n, k]`, C is `[m, n]` with `c_stride`. `scratch` has
/// at least [`scratch_len`] floats, whose values do not matter.
///
/// # Panics
/// If a slice has the wrong length, the size of blocks is not supported, or `c_stride < n` where there is more than one
/// row.
#[inline]
pub fn gemm(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_stride: usize,
    b: &Blocks,
    c: &mut [f32],
    c_stride: usize,
    epilogue: &Epilogue,
    scratch: &mut [f32],
) {
    b.check(n, k, scratch);
    let expand = |j: usize, panel: &mut [f32]| b.expand(n, k, j, panel);
    gemm_panels(m, n, k, a, a_stride, Panels::Expanded(&expand), scratch, Grid::new(c, c_stride), epilogue);
}

/// [`gemm`] with the bits that [`literal`] is about.
///
/// # Panics
/// As there.
pub fn gemm_literal(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_stride: usize,
    b: &Blocks,
    c: &mut [f32],
    c_stride: usize,
    epilogue: &Epilogue,
    scratch: &mut [f32],
) {
    b.check(n, k, scratch);
    let expand = |j: usize, panel: &mut [f32]| b.expand(n, k, j, panel);
    let depth = literal::depth(k, n);
    literal::gemm_panels(m, n, k, a, a_stride, Panels::Expanded(&expand), scratch, c, c_stride, epilogue, depth);
}

/// Writes a row of a matrix `[n, k]` to `out`, which has `k` elements.
///
/// # Panics
/// If the size of blocks is not supported or a slice of `b` ends before the row does.
pub fn dequantize_row(b: &Blocks, k: usize, row: usize, out: &mut [f32]) {
    assert!(b.code.supports_block(k, b.block), "dequantize_row: blocks of this size are not supported");
    assert!(out.len() == k, "dequantize_row: out is not [k]");
    let end = row.checked_add(1).map_or(usize::MAX, |rows| b.code.codes_len(rows, k, b.block));
    assert!(b.codes.len() >= end, "dequantize_row: row is out of range");
    b.each(k, row, &mut |l, x| out[l] = x);
}

impl Blocks<'_> {
    fn check(&self, n: usize, k: usize, scratch: &[f32]) {
        let Blocks { code, block, .. } = *self;
        assert!(code.supports_block(k, block), "gemm_blocks: blocks of this size are not supported");
        assert!(self.codes.len() == code.codes_len(n, k, block), "gemm_blocks: codes has the wrong length");
        assert!(self.scales.len() == code.scales_len(n, k, block), "gemm_blocks: scales has the wrong length");
        let zeros = match self.zero_points {
            Zero::Implied => true,
            Zero::Codes(zeros) => !code.has_table() && zeros.len() == code.zero_points_len(n, k, block),
            Zero::Floats(zeros) => !code.has_table() && zeros.len() == self.scales.len(),
        };
        assert!(zeros, "gemm_blocks: zero_points has the wrong length");
        assert!(scratch.len() >= expanded_len(k), "gemm_blocks: scratch is too short");
    }

    /// What lies where, for which divisions are too slow to be repeated for each block.
    fn layout(&self, k: usize) -> Layout {
        let pitch = self.code.pitch(k, self.block).unwrap_or(k);
        let blocks = k.div_ceil(self.block);
        Layout { k, pitch, blocks, zero_bytes: self.code.bytes(blocks) }
    }

    /// Rows `j..j + NR` of the matrix, `[n, k]`, as a panel, `[k, NR]`; the last row stands in for those behind it.
    fn expand(&self, n: usize, k: usize, j: usize, panel: &mut [f32]) {
        let rows = from_fn(|c| (j + c).min(n - 1));
        let difference = |code, zero| F32x4::from_int(code) - zero;
        match self.code {
            Code::Uint2 => self.expand_words::<2>(k, rows, panel, difference),
            Code::Uint4 | Code::Int4 => self.expand_words::<4>(k, rows, panel, difference),
            Code::Uint8 | Code::Int8 => self.expand_words::<8>(k, rows, panel, difference),
            Code::Uint16 | Code::Int16 => self.expand_words::<16>(k, rows, panel, difference),
            Code::Nf4 | Code::Fp4 if k.is_multiple_of(8) => {
                let levels = self.levels();
                let level = |code: I32x4, _| F32x4::from_array(code.to_array().map(|code| levels[code as usize % 16]));
                self.expand_words::<4>(k, rows, panel, level);
            }
            Code::Nf4 | Code::Fp4 => {
                for (c, row) in rows.into_iter().enumerate() {
                    self.each(k, row, &mut |l, x| panel[l * NR + c] = x);
                }
            }
        }
    }

    /// [`Blocks::expand`] by words of `32 / BITS` codes, which must not straddle rows.
    #[inline(never)]
    fn expand_words<const BITS: u32>(
        &self,
        k: usize,
        rows: [usize; NR],
        panel: &mut [f32],
        level: impl Fn(I32x4, F32x4) -> F32x4,
    ) {
        let per_word = 32 / BITS as usize;
        let mask = I32x4::splat(((1u64 << BITS) - 1) as i32);
        let halves = I32x4::splat(0x0f0f_0f0f);
        let signs = self.code.signs();
        // Blocks that do not begin with a row do begin with a word.
        let run = if self.code.has_table() && !k.is_multiple_of(self.block) { per_word } else { self.block };
        let layout = self.layout(k);
        for (l, values) in (0..).step_by(run).zip(panel.as_chunks_mut::<NR>().0.chunks_mut(run)) {
            let Run { words, last, scales, zeros } = self.run(&layout, rows, l, run);
            let whole = words[0].len();
            let (scales, zeros) = (vectors(&scales), vectors(&zeros));
            for (w, values) in values.chunks_mut(per_word).enumerate() {
                // SAFETY: `Run::words` are of equal length.
                let words = if w < whole { words.map(|words| unsafe { *words.get_unchecked(w) }) } else { last };
                let words = words.map(|word| i32::from_le_bytes(word) ^ signs);
                let (words, _) = words.as_chunks();
                let mut words: [I32x4; VECTORS] = from_fn(|v| I32x4::from_array(words[v]));
                if self.code.has_table() {
                    // The low half of a byte first, as everywhere else.
                    words = words.map(|word| word.and(halves).shl::<4>() + word.shr::<4>().and(halves));
                }
                for row in values {
                    let (row, _) = row.as_chunks_mut::<LANES>();
                    for v in 0..VECTORS {
                        row[v] = (level(words[v].and(mask), zeros[v]) * scales[v]).to_array();
                        words[v] = words[v].shr::<BITS>();
                    }
                }
            }
        }
    }

    /// The codes `l..l + len` of each row, which have a scale in common.
    #[inline(never)]
    fn run(&self, layout: &Layout, rows: [usize; NR], l: usize, len: usize) -> Run<'_> {
        let block = if self.block == layout.k { 0 } else { l >> self.block.trailing_zeros() };
        let places = match self.code.has_table() {
            true => rows.map(|row| (row * layout.k + l) >> self.block.trailing_zeros()),
            false => rows.map(|row| row * layout.blocks + block),
        };
        let middle = self.code.middle();
        let zeros = match self.zero_points {
            Zero::Implied => [middle; NR],
            Zero::Codes(zeros) => rows.map(|row| self.code_at(&zeros[row * layout.zero_bytes..], block).into()),
            Zero::Floats(zeros) if self.code.signs() != 0 => zeros.pick(places).map(|zero| zero + middle),
            Zero::Floats(zeros) => zeros.pick(places),
        };
        let mut run = Run { words: [&[]; NR], last: [[0; 4]; NR], scales: self.scales.pick(places), zeros };
        let bytes = self.code.bytes(len);
        for (c, row) in rows.into_iter().enumerate() {
            let (words, rest) = self.codes[self.code.byte(row * layout.pitch + l)..][..bytes].as_chunks();
            run.words[c] = words;
            if !rest.is_empty() {
                run.last[c][..rest.len()].copy_from_slice(rest);
            }
        }
        run
    }

    /// Calls `f` with the position and the value of every element of a row.
    fn each(&self, k: usize, row: usize, f: &mut dyn FnMut(usize, f32)) {
        let layout = self.layout(k);
        let start = row * layout.pitch;
        let levels = self.levels();
        let mut l = 0;
        while l < k {
            // Rows need not begin with a block where these are cut from the flattened matrix.
            let into = if self.code.has_table() { (start + l) % self.block } else { l % self.block };
            let run = (self.block - into).min(k - l);
            let Run { scales: [scale, ..], zeros: [zero, ..], .. } = self.run(&layout, [row; NR], l, run);
            for l in l..l + run {
                let level = if self.code.has_table() {
                    // The high half of a byte comes first: of two neighbours, each is where the other would be.
                    levels[usize::from(self.code_at(self.codes, (start + l) ^ 1))]
                } else {
                    f32::from(self.code_at(self.codes, start + l)) - zero
                };
                f(l, level * scale);
            }
            l += run;
        }
    }

    /// Code `i` of those that are stored from the low bits up, unsigned.
    #[inline(always)]
    fn code_at(&self, codes: &[u8], i: usize) -> u16 {
        let (bits, at, signs) = (self.code.bits(), self.code.byte(i), self.code.signs() as u16);
        if bits == 16 {
            return u16::from_le_bytes([codes[at], codes[at + 1]]) ^ signs;
        }
        let shift = (i as u32 * bits) & 7;
        (u16::from(codes[at]) ^ signs & 0xff) >> shift & (0xff >> (8 - bits))
    }

    fn levels(&self) -> &'static [f32; 16] {
        if self.code == Code::Fp4 { &FP4 } else { &NF4 }
    }
}

/// Where rows and blocks begin.
struct Layout {
    /// Codes that count, of a row.
    k: usize,
    /// Codes from row to row.
    pitch: usize,
    /// Blocks of a row.
    blocks: usize,
    /// Bytes of a row's zero points.
    zero_bytes: usize,
}

/// What the columns of a panel are made of for some of its rows.
struct Run<'a> {
    /// Equally many of each column.
    words: [&'a [[u8; 4]]; NR],
    /// What is left behind whole words.
    last: [[u8; 4]; NR],
    scales: [f32; NR],
    zeros: [f32; NR],
}

#[inline(always)]
fn vectors(row: &[f32; NR]) -> [F32x4; VECTORS] {
    from_fn(|v| F32x4::from_array(from_fn(|i| row[v * LANES + i])))
}
