//! f32 matrix multiplication, `C = A B`, with an [`Epilogue`].
//!
//! B is packed once into panels of [`NR`] columns, each panel contiguous along `k`: a step of the innermost loop
//! reads neighbouring floats. A stays as it is; its elements are splatted from memory. The microkernel keeps a tile of
//! [`MR`] rows by one panel of C in vector registers all along `k`. Of the sixteen of x86-64 V8 keeps one for itself.
//! 3x12 sums take nine registers, B three, A two and a product one; and nine chains of a latency of four cycles more
//! than fill two FMA units (0.97 of their peak from the L1 cache, where 4x8 reaches 0.95). With separate products what
//! counts is how many instructions there are, of which nearly six are carried out a cycle: 33 for the 9 products of
//! 3x12 (0.70 of the FMA peak), 35 for the 8 of 4x8 (0.62). That it fits depends on the order of loads, which the
//! compiler would change, one operand too early; so those of B are volatile. Tiles of 5x8, 6x8, 8x8, 4x12 and 4x16 lost
//! up to half their speed to spills, and so did unrolling along `k`: the compiler nests the multiply-adds of
//! neighbouring steps, which keeps the operands of all of them alive. (V8 unrolls by itself.) Two rows by two panels spill.
//!
//! Around it run, from the outside: blocks of rows; blocks of `k`, short enough that the block of A stays in the L2
//! cache; groups of four panels; panels, each of which serves a whole block; tiles. Between blocks of `k` the sums rest
//! in C, and the next block continues them. So an element of C is one chain of additions whatever the shape: **a row of
//! C has the same bits whatever the other rows are and however many**, which batched inference inherits.
//!
//! One row of a panel offers too few independent sums to hide the latency of an addition, and one stream too few reads
//! to fill the time that memory takes. Therefore one to three rows go before the tiles, each by itself through the four
//! panels of a group: the first brings them from memory as fast as it gives, as four streams, and tiles, of which no
//! fraction is left, find them in the L2 cache. For 16 rows from memory that took 8 to 10 % less time than reading the
//! next panel ahead during the tiles, a byte in every step; for 8 rows a fifth less; for 24 and 48 it takes 2 to 3 % more,
//! for 32 and 128 the same. Lost, too: both together; reading 2 to 64 lines of each page of the next panel at once (3 %
//! better at best than one); each tile reading its share at its start.
//!
//! Measured in V8 (Node 24) on a Zen 4 core, CPU time on a busy machine, as a fraction of the peak of a register-only
//! FMA loop: 128x768x768, 128x3072x768 and 128x768x3072 0.88 to 0.90 with relaxed SIMD, 0.69 to 0.70 with multiplication
//! and addition; all weights of a model of 170 MB, which come from memory, with 16, 32 and 128 rows 0.77, 0.83 and 0.89,
//! without fused multiply-adds 0.59, 0.65 and 0.69.
//!
//! B may also be stored in a smaller type ([`gemm_half`](crate::gemm_half), [`gemm_blocks`](crate::gemm_blocks)). Then
//! `Panels` expands the panels that are next into a scratch space, where the same microkernel finds them: the result
//! has the bits that the expanded matrix would give. A panel is expanded once for every block of rows. To use an
//! expanded panel in pieces that fit the L1 cache loses 3 %.
//!
//! Threads, if there are several, share out groups of columns within blocks of rows: short texts are a few rows, and then
//! the time goes into reading B, of which each thread reads its columns only.

use crate::arch::F32x4;
use crate::parallel::{self, Grid};
use crate::vector::{FloatVector, LANES, span};
use std::array::from_fn;
use std::ops::Range;

pub use crate::epilogue::Epilogue;

/// Columns of a panel of packed B.
pub const NR: usize = VECTORS * LANES;
/// Rows of the register tile.
pub const MR: usize = 3;

/// Vectors in a row of the register tile.
const VECTORS: usize = 3;
/// Panels of a group.
const MAX_PANELS: usize = 4;
/// Rows of a block at most.
const MC: usize = 128;
/// Steps along `k` in a block at most: the block of A then has 384 KiB.
const DEPTH: usize = 768;
/// Floats of A in a block of rows if panels are expanded: half as many blocks would mean half as many expansions, at
/// the price of reading A from farther away.
const EXPANDED: usize = 1 << 17;
/// Columns that are finished together.
pub(crate) const FINISH: usize = 4 * NR;

/// Elements that B, `[k, n]`, takes when packed.
pub const fn packed_len(k: usize, n: usize) -> usize {
    k.saturating_mul(n.div_ceil(NR).saturating_mul(NR))
}

/// Floats of scratch space that a GEMM with a compressed B, `[k, n]`, needs, whatever `n` is, for as many threads as there
/// are where this is called. With less the work is shared among fewer; a single thread's share is the least.
pub fn scratch_len(k: usize) -> usize {
    expanded_len(k).saturating_mul(parallel::threads())
}

/// A thread's share of it.
pub(crate) const fn expanded_len(k: usize) -> usize {
    packed_len(k, MAX_PANELS * NR)
}

/// Packs B, `[k, n]`, for [`gemm`].
///
/// Element `(r, c)` is `b[r * row_stride + c * col_stride]`, so a transposed B costs nothing extra.
///
/// # Panics
/// If `packed` does not have [`packed_len`] floats or `b` is too short.
pub fn pack_b(k: usize, n: usize, b: &[f32], row_stride: usize, col_stride: usize, packed: &mut [f32]) {
    pack_panels(k, n, b, row_stride, col_stride, packed);
}

/// [`pack_b`] of any type that B may be stored in.
pub(crate) fn pack_panels<T: Copy + Default>(
    k: usize,
    n: usize,
    b: &[T],
    row_stride: usize,
    col_stride: usize,
    packed: &mut [T],
) {
    assert!(packed.len() == packed_len(k, n), "pack_b: packed has the wrong length");
    if packed.is_empty() {
        return;
    }
    if col_stride == 1 {
        return pack_rows(k, n, b, row_stride, packed);
    }
    for (panel, j) in packed.chunks_exact_mut(k * NR).zip((0..n).step_by(NR)) {
        let width = NR.min(n - j);
        let (rows, _) = panel.as_chunks_mut::<NR>();
        // Columns whose elements are neighbours: LANES steps of each at a time.
        let is_turned = row_stride == 1 && width == NR;
        let (fours, rest) = if is_turned { rows.as_chunks_mut::<LANES>() } else { (&mut [][..], rows) };
        for (f, four) in fours.iter_mut().enumerate() {
            let start = f * LANES + j * col_stride;
            let columns: [&[T; LANES]; NR] =
                from_fn(|c| b[start + c * col_stride..].first_chunk().expect("pack_b: b is too short"));
            for (r, row) in four.iter_mut().enumerate() {
                *row = from_fn(|c| columns[c][r]);
            }
        }
        for (r, row) in rest.iter_mut().enumerate() {
            let start = (r + fours.len() * LANES) * row_stride + j * col_stride;
            // One by one, and not unrolled: seldom.
            *row = [T::default(); NR];
            for c in 0..width {
                row[c] = b[start + c * col_stride];
            }
        }
    }
}

/// Rows of B that are packed together.
const TOGETHER: usize = 8;

/// [`pack_panels`] of a B whose rows are contiguous. A few are read for all panels, as they lie in memory, before the next
/// ones: panel after panel would fetch every line of the cache twice, and rows a power of two apart more often.
fn pack_rows<T: Copy + Default>(k: usize, n: usize, b: &[T], row_stride: usize, packed: &mut [T]) {
    for l in (0..k).step_by(TOGETHER) {
        let height = TOGETHER.min(k - l);
        let rows = &b[l * row_stride..][..(height - 1) * row_stride + n];
        for (panel, j) in packed.chunks_exact_mut(k * NR).zip((0..n).step_by(NR)) {
            let to = panel[l * NR..][..height * NR].as_chunks_mut::<NR>().0;
            for (r, row) in to.iter_mut().enumerate() {
                let from = &rows[r * row_stride + j..];
                match from.first_chunk() {
                    Some(from) if j + NR <= n => *row = *from,
                    _ => {
                        *row = [T::default(); NR];
                        row[..n - j].copy_from_slice(&from[..n - j]);
                    }
                }
            }
        }
    }
}

/// `c[i, j] = activation(alpha * sum over l of a[i, l] * b[l, j] + bias[j]) + residual[i, j]`
///
/// A is `[m, k]` with `a_stride` elements between rows, C is `[m, n]` with `c_stride`, and `packed_b` comes from
/// [`pack_b`] with the same `k` and `n`. What C held before does not matter; elements between its rows are left
/// alone.
///
/// # Panics
/// If a slice is too short, or `c_stride < n` where there is more than one row.
pub fn gemm(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_stride: usize,
    packed_b: &[f32],
    c: &mut [f32],
    c_stride: usize,
    epilogue: &Epilogue,
) {
    assert!(packed_b.len() == packed_len(k, n), "gemm: packed_b has the wrong length");
    gemm_panels(m, n, k, a, a_stride, Panels::Packed(packed_b), &mut [], Grid::new(c, c_stride), epilogue);
}

/// [`gemm`] with panels of B from anywhere.
pub(crate) fn gemm_panels(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_stride: usize,
    b: Panels,
    scratch: &mut [f32],
    c: Grid<f32>,
    epilogue: &Epilogue,
) {
    assert!(a.len() >= span(m, k, a_stride), "gemm: a is too short");
    assert!(c.len() >= span(m, n, c.stride()), "gemm: c is too short");
    assert!(m <= 1 || c.stride() >= n, "gemm: rows of c overlap");
    epilogue.check(m, n);
    // Without columns A takes no memory, and its stride may be anything.
    let a_stride = if k == 0 { 0 } else { a_stride };
    let gemm = Gemm { k, a, a_stride, b, epilogue };
    let (rows, share) = match b {
        Panels::Packed(_) => (MC, 0),
        Panels::Expanded(_) => ((EXPANDED / k.max(1)).max(MR) / MR * MR, expanded_len(k)),
    };
    let work = m.saturating_mul(n).saturating_mul(k);
    let width = parallel::part(n, FINISH, work);
    let groups = n.div_ceil(width);
    parallel::for_each_with(m.div_ceil(rows) * groups, work, scratch, share, |task, scratch| {
        let (i, j) = (task / groups * rows, task % groups * width);
        // SAFETY: every task has other rows or other columns.
        let mut c = unsafe { c.share() };
        gemm.rows(i, rows.min(m - i), j..n.min(j + width), scratch, &mut c);
    });
}

/// Where a GEMM takes its panels of B from.
#[derive(Clone, Copy)]
pub(crate) enum Panels<'a> {
    /// All of them, as [`pack_b`] leaves them.
    Packed(&'a [f32]),
    /// Nowhere yet: they are made when their turn comes, by what fills one panel, `[k, NR]`, given its first column.
    /// Beyond the last column of B anything will do.
    Expanded(&'a (dyn Fn(usize, &mut [f32]) + Sync)),
}

impl<'a> Panels<'a> {
    /// `count` panels of `k` rows from column `j` on.
    pub fn take<'s>(self, k: usize, j: usize, count: usize, scratch: &'s mut [f32]) -> &'s [f32]
    where
        'a: 's,
    {
        let len = k * NR;
        match self {
            Panels::Packed(panels) => &panels[k * j..][..count * len],
            Panels::Expanded(expand) => {
                for p in 0..count {
                    expand(j + p * NR, &mut scratch[p * len..][..len]);
                }
                &scratch[..count * len]
            }
        }
    }
}

/// The arguments of [`gemm`] that all tiles share; their lengths have been checked.
struct Gemm<'a> {
    k: usize,
    a: &'a [f32],
    a_stride: usize,
    b: Panels<'a>,
    epilogue: &'a Epilogue<'a>,
}

impl Gemm<'_> {
    /// Computes these columns of `rows` rows of C from row `i` on.
    fn rows(&self, i: usize, rows: usize, columns: Range<usize>, scratch: &mut [f32], c: &mut Grid<f32>) {
        let depth = match self.b {
            // In equal parts.
            Panels::Packed(_) if rows > MR => self.k.div_ceil(self.k.div_ceil(DEPTH).max(1)).max(1),
            // One tile reads a panel once, and a panel is expanded in one piece.
            _ => self.k.max(1),
        };
        // Once even if k is zero: C is written all the same.
        for l in (0..self.k.max(1)).step_by(depth) {
            self.block(i, rows, l, depth.min(self.k - l), columns.clone(), scratch, c);
        }
    }

    /// Adds the products of `depth` elements from `l` on of these rows and of columns of B.
    fn block(
        &self,
        i: usize,
        rows: usize,
        l: usize,
        depth: usize,
        columns: Range<usize>,
        scratch: &mut [f32],
        c: &mut Grid<f32>,
    ) {
        let is_last = l + depth == self.k;
        let (mut j, n) = (columns.start, columns.end);
        // Columns before this one are finished.
        let mut finished = j;
        while j < n {
            let panels = if (n - j) / NR >= MAX_PANELS { MAX_PANELS } else { 1 };
            // Rows that go before the tiles.
            let first = if panels == 1 { rows % MR } else { (rows - 1) % MR + 1 };
            let b = self.b.take(self.k, j, panels, scratch);
            let width = (panels * NR).min(n - j);
            for r in 0..first {
                self.tile(i + r, 1, l, depth, j, width, panels, b, c);
            }
            for p in 0..panels {
                let (b, j) = (&b[p * self.k * NR..], j + p * NR);
                for r in (first..rows).step_by(MR) {
                    self.tile(i + r, MR, l, depth, j, NR.min(n - j), 1, b, c);
                }
            }
            j += width;
            // Few rows are finished in one piece.
            if is_last && (j == n || rows >= MR && j - finished >= FINISH) {
                self.finish(i, rows, finished, j - finished, c);
                finished = j;
            }
        }
    }

    fn finish(&self, i: usize, rows: usize, j: usize, width: usize, c: &mut Grid<f32>) {
        if !self.epilogue.is_identity() {
            self.epilogue.apply(c, i, rows, j, width);
        }
    }

    /// Does this for `rows` rows from row `i` and `width` columns from column `j` of C, those of `panels` panels, which
    /// are `b`. It is one row, or [`MR`] rows of one panel.
    fn tile(
        &self,
        i: usize,
        rows: usize,
        l: usize,
        depth: usize,
        j: usize,
        width: usize,
        panels: usize,
        b: &[f32],
        c: &mut Grid<f32>,
    ) {
        let a = self.a.as_ptr().wrapping_add(i * self.a_stride + l);
        let b = b.as_ptr().wrapping_add(l * NR);
        // The last panel may be wider than what is left of C; only then the tile goes through a buffer.
        let mut buffer = [0.0; MR * NR];
        let whole = width == panels * NR;
        if !whole && l > 0 {
            for r in 0..rows {
                buffer[r * NR..][..width].copy_from_slice(c.row(i + r, j, width));
            }
        }
        let (target, stride) = if whole { (c.pointer(i, j), c.stride()) } else { (buffer.as_mut_ptr(), NR) };
        let microkernel = match (rows, panels) {
            (1, MAX_PANELS) => microkernel::<1, MAX_PANELS>,
            (1, _) => microkernel::<1, 1>,
            _ => microkernel::<MR, 1>,
        };
        // SAFETY: `gemm_panels` has checked that A and C hold m rows, and the tile's rows are some of these; the
        // `depth` elements from `l` on are some of `k`; `Panels::take` gives as many panels as it is asked for; and
        // either C has `width` columns from `j` on, or the buffer has.
        unsafe { microkernel(l > 0, depth, a, self.a_stride, b, self.k * NR, target, stride) };
        if !whole {
            for r in 0..rows {
                c.row(i + r, j, width).copy_from_slice(&buffer[r * NR..][..width]);
            }
        }
    }
}

/// `C = A B`, or `C += A B`, for `ROWS` rows of A, `[ROWS, k]`, and `PANELS` panels of B.
///
/// # Safety
/// With the given strides between rows (of A and C) or panels (of B), `a` must be valid for reading `ROWS` times `k`
/// floats, `b` for reading `PANELS` times `k * NR`, and `c` for reading and writing `ROWS` times `PANELS * NR`.
#[inline(never)] // or its sums would not stay in registers
unsafe fn microkernel<const ROWS: usize, const PANELS: usize>(
    is_added: bool,
    k: usize,
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
) {
    let mut sums = [[[F32x4::splat(0.0); VECTORS]; PANELS]; ROWS];
    if is_added {
        for r in 0..ROWS {
            for p in 0..PANELS {
                // SAFETY: row r of C has PANELS * NR readable floats.
                sums[r][p] = from_fn(|v| unsafe { F32x4::load(c.add(r * c_stride + p * NR + v * LANES)) });
            }
        }
    }
    for l in 0..k {
        for p in 0..PANELS {
            // SAFETY: l < k, so NR floats are readable there in panel p.
            let b: [F32x4; VECTORS] =
                from_fn(|v| unsafe { F32x4::load_in_order(b.add(p * b_stride + l * NR + v * LANES)) });
            for r in 0..ROWS {
                // SAFETY: l < k, so row r of A has a readable float there.
                let a = unsafe { F32x4::load_splat(a.add(r * a_stride + l)) };
                for v in 0..VECTORS {
                    sums[r][p][v] = a.mul_add(b[v], sums[r][p][v]);
                }
            }
        }
    }
    for r in 0..ROWS {
        for p in 0..PANELS {
            for v in 0..VECTORS {
                // SAFETY: row r of C has PANELS * NR writable floats.
                unsafe { sums[r][p][v].store(c.add(r * c_stride + p * NR + v * LANES)) };
            }
        }
    }
}
