//! Products of each head with its own columns of a weight, for attention that never computes keys and values.
//!
//! With one query for each text, keys `X Wk` and values `X Wv` of all its tokens are most of the work. By associativity
//! `q (X Wk)^T = (q Wk^T) X^T`, and `p (X Wv) = (p X) Wv` for the weights `p` that softmax gives: then each head has a query
//! as wide as X, all heads look at the same keys and values, which are X itself, and the weights are multiplied with one
//! row for each head and text: [`transposed`] before attention, [`gemm()`] behind it.
//!
//! A head's `dim` columns of a weight `[k, heads * dim]`, packed as for [`crate::gemm`], may begin and end amid a
//! panel.

use crate::arch::F32x4;
use crate::gemm::{self, Epilogue, NR};
use crate::parallel::{self, Grid};
use crate::vector::{FloatVector, LANES};

/// `y[(r, h), l] = sum over the columns c of head h of q[r, c] * w[l, c]`
///
/// Q is `[rows, heads * dim]`, Y is `[rows * heads, k]`.
///
/// # Panics
/// If a slice is shorter than that, or `dim` or `k` is no multiple of 4.
pub fn transposed(rows: usize, heads: usize, dim: usize, k: usize, q: &[f32], packed_w: &[f32], y: &mut [f32]) {
    let n = heads * dim;
    assert!(dim.is_multiple_of(LANES) && k.is_multiple_of(LANES), "gemm_heads: a head is not of whole vectors");
    let y = Grid::new(y, k);
    parallel::for_each(heads, rows * n * k, |head| {
        // SAFETY: every head writes other rows.
        let mut y = unsafe { y.share() };
        for l in (0..k).step_by(LANES) {
            for r in 0..rows {
                let mut sums = [F32x4::splat(0.0); LANES];
                let mut c = head * dim;
                for x in q[r * n + c..][..dim].as_chunks().0 {
                    let w = packed_w[c / NR * NR * k + l * NR + c % NR..][..3 * NR + LANES].as_ptr();
                    for i in 0..LANES {
                        // SAFETY: of the elements just cut out.
                        let w = unsafe { F32x4::load(w.add(i * NR)) };
                        sums[i] = F32x4::from_array(*x).mul_add(w, sums[i]);
                    }
                    c += LANES;
                }
                for (y, sum) in y.row(r * heads + head, l, LANES).iter_mut().zip(sums) {
                    let [a, b, c, d] = sum.to_array();
                    *y = (a + b) + (c + d);
                }
            }
        }
    });
}

/// `out[r, c] = sum over l of x[(r, h), l] * w[l, c] + bias[c]` for the columns c of head h.
///
/// X is `[rows * heads, k]`, `out` is `[rows, heads * dim]`.
///
/// # Panics
/// If a slice is shorter than that, or there are no rows.
pub fn gemm(
    rows: usize,
    heads: usize,
    dim: usize,
    k: usize,
    x: &[f32],
    packed_w: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let n = heads * dim;
    // From the last to the first: what a panel has of the head before is overwritten by that.
    for head in (0..heads).rev() {
        let (start, end) = (head * dim / NR * NR, (head + 1) * dim);
        let epilogue = Epilogue { bias: bias.map(|bias| &bias[start..end]), ..Epilogue::default() };
        let w = &packed_w[k * start..k * end.next_multiple_of(NR)];
        gemm::gemm(rows, end - start, k, &x[head * k..], heads * k, w, &mut out[start..], n, &epilogue);
    }
}
