//! Scaled dot-product attention of one head: `softmax(scale * Q K^T + mask) V`.
//!
//! Keys and values are packed once as GEMM panels, K as if it were transposed, which packing gives for free. Then a
//! few queries at a time go all the way: their scores are a GEMM whose epilogue scales and adds the mask (it is the
//! residual), softmax runs over the rows while they are in cache, and a second GEMM multiplies by V. The matrix of
//! all scores, quadratic in the sequence, is never stored; and no operand is transposed, since the heads of a
//! projection `[seq, heads * head_dim]` are rows with a stride.
//!
//! Where panels have twelve columns a head of 64 fills five and a third of them. With panels of eight attention took 5 to
//! 10 % less time, which is half a percent of a model, and its large products gain several from twelve.

use crate::gemm::{Epilogue, MR, gemm, pack_b, packed_len};
use crate::softmax::softmax;

/// Queries that go through together: enough to reuse the packed panels, with scores that fit the cache.
const BLOCK: usize = 6 * MR;

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
    /// `seq_k` neighbouring numbers for each query.
    pub data: &'a [f32],
    /// Elements between the rows of two queries; 0 if all share one row.
    pub row_stride: usize,
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

/// Floats of scratch memory that [`attention`] needs for `shape`.
pub const fn scratch_len(shape: &Shape) -> usize {
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
/// If a slice is too short for `shape` and its stride, or `scratch` is shorter than [`scratch_len`].
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
    let &Shape { seq_q, seq_k, head_dim, v_dim, scale } = shape;
    assert!(scratch.len() >= scratch_len(shape), "attention: scratch is too short");
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
        let epilogue = Epilogue {
            alpha: scale,
            residual: mask.map(|mask| from(mask.data, i * mask.row_stride)),
            residual_stride: mask.map_or(0, |mask| mask.row_stride),
            ..Epilogue::default()
        };
        gemm(rows, seq_k, head_dim, from(q.data, i * q.stride), q.stride, packed_k, scores, seq_k, &epilogue);
        softmax(scores, rows, seq_k);
        let out = &mut out[i * out_stride..];
        gemm(rows, v_dim, seq_k, scores, seq_k, packed_v, out, out_stride, &Epilogue::default());
    }
}

/// What follows `start`. Nothing if the slice ends before: right if rows are empty, else a case for the checks of
/// [`gemm`].
fn from(data: &[f32], start: usize) -> &[f32] {
    data.get(start..).unwrap_or_default()
}
