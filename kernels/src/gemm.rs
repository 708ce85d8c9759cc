//! f32 matrix multiplication, `C = A B`, with an [`Epilogue`].
//!
//! B is packed once into panels of [`NR`] columns, each panel contiguous along `k`: a step of the innermost loop
//! reads eight neighbouring floats. A stays as it is; its elements are splatted from memory. The microkernel keeps a
//! tile of [`MR`] rows by one panel of C in eight vector registers all along `k`, with two more for B and one for A;
//! that fits the sixteen registers of x86-64. Tiles of 5x8, 6x8, 8x8, 4x12 and 4x16 were measured in V8 and lost up
//! to half their speed to register spills, and so did unrolling along `k`: the compiler nests the multiply-adds of
//! neighbouring steps, which keeps the operands of all of them alive.
//!
//! Around it run, from the outside: blocks of rows; blocks of `k`, short enough that the block of A stays in the L2
//! cache; panels, each of which serves a whole block; tiles. Between blocks of `k` the sums rest in C, and the next
//! block continues them. So an element of C is one chain of additions whatever the shape: **a row of C has the same
//! bits whatever the other rows are and however many**, which batched inference inherits. While a tile is computed, a
//! share of the next panel is read ahead of its use: the first tile of a panel waits for memory otherwise.
//!
//! Measured in V8 (Node 24) on a Zen 4 core, CPU time on a busy machine, 128x768x768, 128x3072x768 and 128x768x3072, as
//! a fraction of the peak of a register-only FMA loop: 0.91, 0.87 and 0.87 with relaxed SIMD, 0.70, 0.67 and 0.67 with
//! multiplication and addition (0.92, 0.78 and 0.62 with neither blocks of `k` nor reading ahead; blocks of `k` alone
//! gave 0.87, 0.80 and 0.82). Eight chains of a latency of four cycles just fill two FMA units; nothing hides a delay.
//!
//! B may also be stored in a smaller type ([`gemm_f16`](crate::gemm_f16), [`gemm_blocks`](crate::gemm_blocks)). Then
//! `Panels` expands the panels that are next into a scratch space, where the same microkernel finds them: the result
//! has the bits that the expanded matrix would give. A panel is expanded once for every block of rows.
//!
//! With fewer than [`MR`] rows one panel offers too few independent sums to hide the latency of an addition, so one
//! row takes four panels at a time and two rows take two.

use crate::arch::F32x4;
use crate::vector::{FloatVector, LANES, span};
use std::array::from_fn;

pub use crate::epilogue::Epilogue;

/// Columns of a panel of packed B.
pub const NR: usize = 8;
/// Rows of the register tile.
pub const MR: usize = 4;

/// Vectors in a row of the register tile.
const VECTORS: usize = NR / LANES;
/// Panels that one tile may span.
const MAX_PANELS: usize = 4;
/// Floats of A in a block, 384 KiB.
const BLOCK: usize = 96 << 10;
/// Rows of a block at most.
const MC: usize = 128;
/// Floats of A in a block of rows if panels are expanded: half as many blocks would mean half as many expansions, at
/// the price of reading A from farther away.
const EXPANDED: usize = 1 << 17;
/// With more rows than this the next panel is read ahead; with fewer, little time passes until its use. (Whole models, whose
/// weights come from memory: for 16 to 32 rows reading ahead takes 3 to 6 % longer, and to go through 64 `k` with all tiles
/// before the next 64 takes 6 to 12 % longer.)
const PREFETCH: usize = 32;
/// Columns that are finished together.
pub(crate) const FINISH: usize = 4 * NR;

/// Elements that B, `[k, n]`, takes when packed.
pub const fn packed_len(k: usize, n: usize) -> usize {
    k.saturating_mul(n.div_ceil(NR).saturating_mul(NR))
}

/// Floats of scratch space that a GEMM with a compressed B, `[k, n]`, needs, whatever `n` is.
pub const fn scratch_len(k: usize) -> usize {
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
    for (panel, j) in packed.chunks_exact_mut(k * NR).zip((0..n).step_by(NR)) {
        let width = NR.min(n - j);
        let (rows, _) = panel.as_chunks_mut::<NR>();
        for (r, row) in rows.iter_mut().enumerate() {
            let start = r * row_stride + j * col_stride;
            if col_stride == 1 && width == NR {
                row.copy_from_slice(&b[start..start + NR]);
            } else {
                *row = from_fn(|c| if c < width { b[start + c * col_stride] } else { T::default() });
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
    gemm_panels(m, n, k, a, a_stride, Panels::Packed(packed_b), c, c_stride, epilogue);
}

/// [`gemm`] with panels of B from anywhere.
pub(crate) fn gemm_panels(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_stride: usize,
    mut b: Panels,
    c: &mut [f32],
    c_stride: usize,
    epilogue: &Epilogue,
) {
    assert!(a.len() >= span(m, k, a_stride), "gemm: a is too short");
    assert!(c.len() >= span(m, n, c_stride), "gemm: c is too short");
    assert!(m <= 1 || c_stride >= n, "gemm: rows of c overlap");
    epilogue.check(m, n);
    // Without columns A takes no memory, and its stride may be anything.
    let a_stride = if k == 0 { 0 } else { a_stride };
    let gemm = Gemm { n, k, a, a_stride, c_stride, epilogue };
    let rows = match b {
        Panels::Packed(_) => MC,
        Panels::Expanded { .. } => (EXPANDED / k.max(1)).max(MR) / MR * MR,
    };
    for i in (0..m).step_by(rows) {
        gemm.rows(i, rows.min(m - i), &mut b, c);
    }
}

/// Where a GEMM takes its panels of B from.
pub(crate) enum Panels<'a> {
    /// All of them, as [`pack_b`] leaves them.
    Packed(&'a [f32]),
    /// Nowhere yet: they are made when their turn comes.
    Expanded {
        /// Fills one panel, `[k, NR]`, given its first column. Beyond the last column of B anything will do.
        expand: &'a dyn Fn(usize, &mut [f32]),
        /// At least [`scratch_len`] floats.
        scratch: &'a mut [f32],
    },
}

impl Panels<'_> {
    /// `count` panels of `k` rows from column `j` on.
    fn take(&mut self, k: usize, j: usize, count: usize) -> &[f32] {
        let len = k * NR;
        match self {
            Panels::Packed(panels) => &panels[k * j..][..count * len],
            Panels::Expanded { expand, scratch } => {
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
    n: usize,
    k: usize,
    a: &'a [f32],
    a_stride: usize,
    c_stride: usize,
    epilogue: &'a Epilogue<'a>,
}

impl Gemm<'_> {
    /// Computes `rows` rows of C from row `i` on.
    fn rows(&self, i: usize, rows: usize, b: &mut Panels, c: &mut [f32]) {
        let depth = match b {
            Panels::Packed(_) => self.k.div_ceil((self.k * rows).div_ceil(BLOCK).max(1)).max(1),
            // A panel is expanded in one piece.
            Panels::Expanded { .. } => self.k.max(1),
        };
        // Once even if k is zero: C is written all the same.
        for l in (0..self.k.max(1)).step_by(depth) {
            self.block(i, rows, l, depth.min(self.k - l), b, c);
        }
    }

    /// Adds the products of `depth` elements from `l` on of these rows and of columns of B.
    fn block(&self, i: usize, rows: usize, l: usize, depth: usize, b: &mut Panels, c: &mut [f32]) {
        let is_last = l + depth == self.k;
        // Columns before this one are finished.
        let (mut j, mut finished) = (0, 0);
        while j < self.n {
            let full_panels = (self.n - j) / NR;
            let panels = match rows {
                1 if full_panels >= MAX_PANELS => MAX_PANELS,
                2 if full_panels >= 2 => 2,
                _ => 1,
            };
            let next = match b {
                Panels::Packed(b) if rows > PREFETCH => b.get(self.k * (j + NR) + l * NR..).unwrap_or_default(),
                _ => &[],
            };
            let next = &next[..next.len().min(depth * NR)];
            let b = b.take(self.k, j, panels);
            for r in (0..rows).step_by(MR) {
                let share = |r: usize| next.len() * r.min(rows) / rows;
                prefetch(&next[share(r)..share(r + MR)]);
                self.tile(i + r, MR.min(rows - r), l, depth, j, panels, b, c);
            }
            j = self.n.min(j + panels * NR);
            // Few rows are finished in one piece.
            if is_last && (j == self.n || rows >= MR && j - finished >= FINISH) {
                self.finish(i, rows, finished, j - finished, c);
                finished = j;
            }
        }
    }

    fn finish(&self, i: usize, rows: usize, j: usize, width: usize, c: &mut [f32]) {
        if !self.epilogue.is_identity() {
            self.epilogue.apply(c, self.c_stride, i, rows, j, width);
        }
    }

    /// Does this for `rows` rows from row `i` and the columns of `panels` panels, which are `b`, from column `j` of C.
    fn tile(&self, i: usize, rows: usize, l: usize, depth: usize, j: usize, panels: usize, b: &[f32], c: &mut [f32]) {
        let width = (panels * NR).min(self.n - j);
        let a = self.a.as_ptr().wrapping_add(i * self.a_stride + l);
        let b = b.as_ptr().wrapping_add(l * NR);
        let c = &mut c[i * self.c_stride + j..];
        // The last panel may be wider than what is left of C; only then the tile goes through a buffer.
        let mut buffer = [0.0; MR * NR];
        let whole = width == panels * NR;
        if !whole && l > 0 {
            for r in 0..rows {
                buffer[r * NR..][..width].copy_from_slice(&c[r * self.c_stride..][..width]);
            }
        }
        let (target, stride) = if whole { (c.as_mut_ptr(), self.c_stride) } else { (buffer.as_mut_ptr(), NR) };
        let microkernel = match (rows, panels) {
            (1, MAX_PANELS) => microkernel::<1, MAX_PANELS>,
            (2, 2) => microkernel::<2, 2>,
            (1, _) => microkernel::<1, 1>,
            (2, _) => microkernel::<2, 1>,
            (3, _) => microkernel::<3, 1>,
            _ => microkernel::<MR, 1>,
        };
        // SAFETY: `gemm_panels` has checked that A and C hold m rows, and the tile's rows are some of these; the
        // `depth` elements from `l` on are some of `k`; `Panels::take` gives as many panels as it is asked for; and
        // either C has `width` columns from `j` on, or the buffer has.
        unsafe { microkernel(l > 0, depth, a, self.a_stride, b, self.k * NR, target, stride) };
        if !whole {
            for r in 0..rows {
                c[r * self.c_stride..][..width].copy_from_slice(&buffer[r * NR..][..width]);
            }
        }
    }
}

/// Reads a float of every cache line, which has no effect but that the line is near afterwards; WebAssembly has no
/// instruction for that.
#[inline(always)]
fn prefetch(x: &[f32]) {
    const CACHE_LINE: usize = 64 / size_of::<f32>();
    for x in x.iter().step_by(CACHE_LINE) {
        // SAFETY: a reference can be read. Being volatile, the read is not left out.
        unsafe { (&raw const *x).read_volatile() };
    }
}

/// `C = A B`, or `C += A B`, for `ROWS` rows of A, `[ROWS, k]`, and `PANELS` panels of B.
///
/// # Safety
/// With the given strides between rows (of A and C) or panels (of B), `a` must be valid for reading `ROWS` times `k`
/// floats, `b` for reading `PANELS` times `k * NR`, and `c` for reading and writing `ROWS` times `PANELS * NR`.
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
            let b: [F32x4; VECTORS] = from_fn(|v| unsafe { F32x4::load(b.add(p * b_stride + l * NR + v * LANES)) });
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
