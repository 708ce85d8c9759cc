//! f32 matrix multiplication with a B of 2, 4, 8 or 16-bit codes that share a scale by the block, as onnxruntime's
//! operators `MatMulNBits` and `MatMulBnb4` store it, or by the row.
//!
//! B is given transposed, `[n, k]`, and read where the model file has it; nothing is packed. A panel of
//! [`gemm`](crate::gemm), twelve rows of that matrix, is expanded to `f32` when its turn comes. The lanes of a vector
//! are rows of the matrix, which are columns of the panel: sixteen bytes of codes from each row, turned, make vectors
//! of 32-bit words, of which masking takes one code per row and shifting brings the next. So what comes out is in the
//! panel's order, and scales and zero points are vectors that last for a block. Each value is the difference of code
//! and zero point, rounded, times the scale, rounded, on every instruction set; the result has the bits of
//! [`gemm::gemm`](crate::gemm::gemm) with the matrix of these values.
//!
//! `MatMulBnb4` cuts its blocks from the flattened matrix. While `k` is a multiple of eight, words do not straddle rows
//! or blocks, and that only shortens the stretch for which a scale holds; otherwise values are taken one by one.
//!
//! What the saved memory costs, measured in V8 with relaxed SIMD on 768x768 weights, 4-bit codes in blocks of 128 to
//! `Nf4`: 1.0 to 1.1 times an f32 GEMM with 128 rows, 1.3 to 1.7 times with 16, 3.0 to 6.7 times with one. Small blocks
//! take longer than large ones: with a block, scales and zero points of twelve rows are collected. To read
//! the sixteen bytes in a function of its own takes a fifth longer with one row, for 3 KB less before compression.

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
/// Words of codes of a row that are read together.
const WORDS: usize = LANES;
/// Their bytes.
const BYTES: usize = 4 * WORDS;

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
    #[inline(always)]
    fn pick(self, places: [usize; NR]) -> [f32; NR] {
        match self {
            Numbers::Single(numbers) => pick(numbers, places),
            Numbers::Half(numbers) => {
                let mut picked = [0.0; NR];
                to_f32(numbers.of_kind(&pick(numbers.bits(), places)), &mut picked);
                picked
            }
        }
    }
}

#[inline(never)]
fn pick<T: Copy>(from: &[T], places: [usize; NR]) -> [T; NR] {
    places.map(|place| from[place])
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
    b.each(k, row, 0, &mut |l, x| out[l] = x);
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

    /// Rows `j..j + NR` of the matrix, `[n, k]`, as a panel, `[k, NR]`; the last row stands in for those behind it.
    fn expand(&self, n: usize, k: usize, j: usize, panel: &mut [f32]) {
        let rows = from_fn(|c| (j + c).min(n - 1));
        let difference = |code, zero| F32x4::from_int(code) - zero;
        let done = match self.code {
            Code::Uint2 => self.expand_words::<2>(k, rows, panel, difference),
            Code::Uint4 | Code::Int4 => self.expand_words::<4>(k, rows, panel, difference),
            Code::Uint8 | Code::Int8 => self.expand_words::<8>(k, rows, panel, difference),
            Code::Uint16 | Code::Int16 => self.expand_words::<16>(k, rows, panel, difference),
            Code::Nf4 | Code::Fp4 if k.is_multiple_of(8) => {
                let levels = self.levels();
                let level = |code: I32x4, _| F32x4::from_array(code.to_array().map(|code| levels[code as usize % 16]));
                self.expand_words::<4>(k, rows, panel, level)
            }
            Code::Nf4 | Code::Fp4 => 0,
        };
        if done < k {
            for (c, row) in rows.into_iter().enumerate() {
                self.each(k, row, done, &mut |l, x| panel[l * NR + c] = x);
            }
        }
    }

    /// [`Blocks::expand`] by words of `32 / BITS` codes, which must not straddle rows. Gives how many rows of the panel
    /// are done: all but a few at the end of the matrix, where whole vectors of words would lead out of it.
    #[inline(never)]
    fn expand_words<const BITS: u32>(
        &self,
        k: usize,
        rows: [usize; NR],
        panel: &mut [f32],
        level: impl Fn(I32x4, F32x4) -> F32x4,
    ) -> usize {
        let per_word = 32 / BITS as usize;
        let mask = I32x4::splat(((1u64 << BITS) - 1) as i32);
        let halves = I32x4::splat(0x0f0f_0f0f);
        let signs = I32x4::splat(self.code.signs());
        // Blocks that do not begin with a row do begin with a word.
        let run = if self.code.has_table() && !k.is_multiple_of(self.block) { per_word } else { self.block };
        let columns = self.columns(k, rows);
        let (mut l, mut next) = (0, 0);
        let mut words = [[I32x4::splat(0); VECTORS]; WORDS];
        let (mut scales, mut zeros) = ([F32x4::splat(0.0); VECTORS], [F32x4::splat(0.0); VECTORS]);
        for (q, values) in panel.as_chunks_mut::<NR>().0.chunks_mut(WORDS * per_word).enumerate() {
            if !columns.read(q * BYTES, &mut words) {
                return l;
            }
            for (words, values) in words.into_iter().zip(values.chunks_mut(per_word)) {
                if l == next {
                    (scales, zeros) = self.numbers(&columns, l);
                    next += run;
                }
                l += per_word;
                let mut words = words.map(|word| word.xor(signs));
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
        k
    }

    /// Where the columns of a panel are that is made of these rows, which ascend. Divisions are too slow to be repeated
    /// for each block.
    fn columns(&self, k: usize, rows: [usize; NR]) -> Columns<'_> {
        let pitch = self.code.pitch(k, self.block).unwrap_or(k);
        let (elements, shift) = if self.block == k { (1, 0) } else { (pitch, self.block.trailing_zeros()) };
        let (bytes, zeros) = (self.code.byte(pitch), self.code.bytes(k.div_ceil(self.block)));
        let starts = |pitch| rows.map(|row| row * pitch);
        let codes = starts(bytes).map(|start| &self.codes[start..]);
        Columns { codes, places: starts(elements), shift, zeros: starts(zeros) }
    }

    /// The scales and the zero points of element `l` of each column.
    #[inline(never)]
    fn numbers(&self, columns: &Columns, l: usize) -> ([F32x4; VECTORS], [F32x4; VECTORS]) {
        // A row that is a block has one.
        let l = if columns.shift == 0 { 0 } else { l };
        let block = l >> columns.shift;
        let places = columns.places.map(|place| (place + l) >> columns.shift);
        let middle = self.code.middle();
        let zeros = match self.zero_points {
            Zero::Implied => [middle; NR],
            Zero::Codes(zeros) => {
                let at = self.code.byte(block);
                let byte = |i: usize| pick(zeros, columns.zeros.map(|start| start + at + i)).map(u16::from);
                let low = byte(0);
                let high = if self.code.bits() == 16 { byte(1) } else { [0; NR] };
                let decode = self.decode(block);
                from_fn(|c| decode(low[c] | high[c] << 8).into())
            }
            Zero::Floats(zeros) => {
                let middle = if self.code.signs() == 0 { 0.0 } else { middle };
                zeros.pick(places).map(|zero| zero + middle)
            }
        };
        (vectors(&self.scales.pick(places)), vectors(&zeros))
    }

    /// Calls `f` with the position and the value of every element of a row from `l` on.
    fn each(&self, k: usize, row: usize, mut l: usize, f: &mut dyn FnMut(usize, f32)) {
        let columns = self.columns(k, [row; NR]);
        let start = row * self.code.pitch(k, self.block).unwrap_or(k);
        let levels = self.levels();
        while l < k {
            // Rows need not begin with a block where these are cut from the flattened matrix.
            let into = if self.code.has_table() { (start + l) % self.block } else { l % self.block };
            let run = (self.block - into).min(k - l);
            let (scales, zeros) = self.numbers(&columns, l);
            let [scale, zero] = [scales, zeros].map(|numbers| numbers[0].to_array()[0]);
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
        let at = self.code.byte(i);
        let high = if self.code.bits() == 16 { codes[at + 1] } else { 0 };
        self.decode(i)(u16::from_le_bytes([codes[at], high]))
    }

    /// Takes code `i` from the two bytes in the first of which it begins.
    #[inline(always)]
    fn decode(&self, i: usize) -> impl Fn(u16) -> u16 + use<> {
        let (bits, signs) = (self.code.bits(), self.code.signs() as u16);
        let (shift, mask) = ((i as u32 * bits) & 7, u16::MAX >> (16 - bits));
        move |bytes| ((bytes ^ signs) >> shift) & mask
    }

    fn levels(&self) -> &'static [f32; 16] {
        if self.code == Code::Fp4 { &FP4 } else { &NF4 }
    }
}

/// Where the columns of a panel begin.
struct Columns<'a> {
    /// The codes from the first on.
    codes: [&'a [u8]; NR],
    /// Elements before the first, which so many bits on the right make blocks.
    places: [usize; NR],
    shift: u32,
    /// Bytes of zero points before the first.
    zeros: [usize; NR],
}

impl Columns<'_> {
    /// Reads [`BYTES`] of each column as words, if there are so many from this one on.
    #[inline(always)]
    fn read(&self, start: usize, words: &mut [[I32x4; VECTORS]; WORDS]) -> bool {
        // Rows ascend, so of the last the fewest are left.
        if start + BYTES > self.codes[NR - 1].len() {
            return false;
        }
        for (v, codes) in self.codes.as_chunks().0.iter().enumerate() {
            // SAFETY: of each column are so many left.
            let bytes = codes.map(|codes: &[u8]| unsafe { codes.as_ptr().add(start).cast::<[u8; BYTES]>().read() });
            let turned = I32x4::transpose(bytes.map(I32x4::from_bytes));
            for w in 0..WORDS {
                words[w][v] = turned[w];
            }
        }
        true
    }
}

#[inline(always)]
fn vectors(row: &[f32; NR]) -> [F32x4; VECTORS] {
    from_fn(|v| F32x4::from_array(row.as_chunks().0[v]))
}
