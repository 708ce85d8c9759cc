//! Scaled dot-product attention of one head: `softmax(scale * Q K^T + mask) V`.
//!
//! Keys and values are packed once as GEMM panels, K as if it were transposed, which packing gives for free. Then a
//! few queries at a time go all the way: their scores are a GEMM whose epilogue scales and adds the mask (it is the
//! residual), softmax runs over the rows while they are in cache, and a second GEMM multiplies by V. The matrix of
//! all scores, quadratic in the sequence, is never stored; and no operand is transposed, since the heads of a
//! projection `[seq, heads * head_dim]` are rows with a stride.

use crate::gemm::{Epilogue, MR, Panels, gemm, gemm_panels, pack_b, packed_len};
use crate::parallel::{self, Grid};
use crate::softmax::softmax;
use crate::vector::span;

/// Queries that go through together: enough to reuse the packed panels, with scores that fit the cache.
const BLOCK: usize = 6 * MR;
/// Softmax of a score takes as long as so many multiply-adds.
const SOFTMAX: usize = 32;

/// A matrix inside a larger one: row `r` starts at `data[r * stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// From the first element of row 0 on.
    pub data: &'a [f32],
    /// Elements between the starts of two rows.
    pub stride: usize,
}

/// Numbers that are added to the scores, `[seq_q, seq_k]`: 0 for visible, minus infinity or `f32::MIN` for hidden keys.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// `seq_k` neighbouring numbers for each query, or one.
    pub data: &'a [f32],
    /// Elements between the rows of two queries; 0 if all share one row.
    pub row_stride: usize,
    /// Whether all keys of a query share one number: it still matters where it hides them, or is huge.
    pub one_each: bool,
}

/// The dimensions of one head.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Queries, rows of Q and of the result.
    pub seq_q: usize,
    /// Keys, rows of K and of V.
    pub seq_k: usize,
    /// Columns of Q and K.
    pub head_dim: usize,
    /// Columns of V and of the result.
    pub v_dim: usize,
    /// Factor of the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
}

/// Floats of scratch memory that [`attention`] and [`heads`] need for `shape`, for as many threads as there are where this
/// is called. With less the work is shared among fewer; a single thread's share is the least.
pub fn scratch_len(shape: &Shape) -> usize {
    head_len(shape).saturating_mul(parallel::threads())
}

/// A thread's share of it.
const fn head_len(shape: &Shape) -> usize {
    packed_len(shape.head_dim, shape.seq_k)
        .saturating_add(packed_len(shape.seq_k, shape.v_dim))
        .saturating_add(BLOCK.saturating_mul(shape.seq_k))
}

/// `out[i, :] = softmax(scale * q k^T + mask)[i, :] v`, with `out_stride` elements between the rows of `out`.
///
/// A query whose scores are all minus infinity gives zeros. A mask of `f32::MIN` acts by addition like any other
/// number: where it hides every key, all keys weigh the same.
///
/// # Panics
/// If a slice is too short for `shape` and its strides, or `scratch` is shorter than [`scratch_len`].
pub fn attention(
    shape: &Shape,
    q: Rows,
    k: Rows,
    v: Rows,
    mask: Option<Mask>,
    out: &mut [f32],
    out_stride: usize,
    scratch: &mut [f32],
) {
    heads(shape, 1, q, k, v, &|_| mask, out, out_stride, scratch);
}

/// [`attention`] of several heads whose columns are side by side in Q, K, V and `out`; `mask` gives each its mask.
///
/// Threads, if there are several, share out the heads.
///
/// # Panics
/// As [`attention`], and if rows of `out` overlap.
pub fn heads<'a>(
    shape: &Shape,
    count: usize,
    q: Rows,
    k: Rows,
    v: Rows,
    mask: &(dyn Fn(usize) -> Option<Mask<'a>> + Sync),
    out: &mut [f32],
    out_stride: usize,
    scratch: &mut [f32],
) {
    let &Shape { seq_q, seq_k, head_dim, v_dim, .. } = shape;
    let cols = count.saturating_mul(v_dim);
    assert!(scratch.len() >= head_len(shape), "attention: scratch is too short");
    assert!(out.len() >= span(seq_q, cols, out_stride), "attention: out is too short");
    assert!(seq_q <= 1 || out_stride >= cols, "attention: rows of out overlap");
    if seq_q == 0 {
        return;
    }
    let out = Grid::new(out, out_stride);
    let work = [count, seq_q, seq_k, head_dim + v_dim + SOFTMAX].into_iter().fold(1, usize::saturating_mul);
    parallel::for_each_with(count, work, scratch, head_len(shape), |head, scratch| {
        // SAFETY: every head has other columns.
        let out = unsafe { out.share() }.from(head * v_dim);
        let part = |rows, dim| columns_from(rows, head * dim);
        attend(shape, part(q, head_dim), part(k, head_dim), part(v, v_dim), mask(head), out, scratch);
    });
}

/// Without the first columns.
fn columns_from(rows: Rows<'_>, start: usize) -> Rows<'_> {
    Rows { data: from(rows.data, start), ..rows }
}

/// One head.
fn attend(shape: &Shape, q: Rows, k: Rows, v: Rows, mask: Option<Mask>, out: Grid<f32>, scratch: &mut [f32]) {
    let &Shape { seq_q, seq_k, head_dim, v_dim, scale } = shape;
    let (packed_k, scratch) = scratch.split_at_mut(packed_len(head_dim, seq_k));
    let (packed_v, scratch) = scratch.split_at_mut(packed_len(seq_k, v_dim));
    pack_b(head_dim, seq_k, k.data, 1, k.stride, packed_k);
    pack_b(seq_k, v_dim, v.data, v.stride, 1, packed_v);
    if v_dim == 0 {
        return;
    }
    for i in (0..seq_q).step_by(BLOCK) {
        let rows = BLOCK.min(seq_q - i);
        let scores = &mut scratch[..rows * seq_k];
        let full = mask.filter(|mask| !mask.one_each);
        let epilogue = Epilogue {
            alpha: scale,
            residual: full.map(|mask| from(mask.data, i * mask.row_stride)),
            residual_stride: full.map_or(0, |mask| mask.row_stride),
            ..Epilogue::default()
        };
        gemm(rows, seq_k, head_dim, from(q.data, i * q.stride), q.stride, packed_k, scores, seq_k, &epilogue);
        if let Some(mask) = mask.filter(|mask| mask.one_each) {
            for (r, row) in scores.chunks_exact_mut(seq_k.max(1)).enumerate() {
                let number = mask.data[(i + r) * mask.row_stride];
                row.iter_mut().for_each(|score| *score += number);
            }
        }
        softmax(scores, rows, seq_k);
        // SAFETY: this one is not used while that is.
        let out = unsafe { out.share() }.from(i * out.stride());
        let packed_v = Panels::Packed(packed_v);
        gemm_panels(rows, v_dim, seq_k, scores, seq_k, packed_v, &mut [], out, &Epilogue::default());
    }
}

/// What follows `start`. Nothing if the slice ends before: right if rows are empty, else a case for the checks of
/// [`gemm`].
fn from(data: &[f32], start: usize) -> &[f32] {
    data.get(start..).unwrap_or_default()
}
