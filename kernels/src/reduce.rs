//! Reductions along one axis.
//!
//! Along the last axis a row collapses within vectors, in the order in which Eigen adds, which onnxruntime has its means
//! from. Along any other, whole rows are combined element by element, in the order in which they lie in memory.

use crate::arch::F32x4;
use crate::slices::{load, map, starts, store};
use crate::vector::FloatVector;
use std::array::from_fn;

/// How numbers are combined, see [`reduce`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReduceOp {
    /// The sum over the count; NaN of nothing.
    Mean,
    /// The sum; 0 of nothing.
    Sum,
    /// The largest; NaN if one is, minus infinity of nothing.
    Max,
    /// The smallest; NaN if one is, infinity of nothing.
    Min,
}

/// Reduces the middle axis of `x`, `[outer, len, inner]`, into `out`, `[outer, inner]`.
///
/// # Panics
/// If a slice does not have the length that the dimensions say.
#[inline]
pub fn reduce(op: ReduceOp, outer: usize, len: usize, inner: usize, x: &[f32], out: &mut [f32]) {
    let size = |outer: usize, len: usize| outer.checked_mul(len)?.checked_mul(inner);
    assert!(Some(x.len()) == size(outer, len), "reduce: x is not [outer, len, inner]");
    assert!(Some(out.len()) == size(outer, 1), "reduce: out is not [outer, inner]");
    if inner == 0 {
        return;
    }
    for (i, out) in out.chunks_exact_mut(inner).enumerate() {
        let x = &x[i * len * inner..][..len * inner];
        match op {
            ReduceOp::Mean | ReduceOp::Sum => combine(x, out, 0.0, |a, b| a + b),
            ReduceOp::Max => combine(x, out, f32::NEG_INFINITY, F32x4::maximum),
            ReduceOp::Min => combine(x, out, f32::INFINITY, F32x4::minimum),
        }
        if op == ReduceOp::Mean {
            map(out, |x| x / F32x4::splat(len as f32));
        }
    }
}

/// Combines the rows of `x` into `out`; `neutral` changes nothing.
#[inline(always)]
fn combine(x: &[f32], out: &mut [f32], neutral: f32, f: impl Fn(F32x4, F32x4) -> F32x4 + Copy) {
    if let [out] = out {
        let (vectors, rest) = x.as_chunks();
        let (pairs, single) = vectors.as_chunks::<2>();
        let mut sums = [F32x4::splat(neutral); 2];
        for pair in pairs {
            sums = from_fn(|i| f(sums[i], F32x4::from_array(pair[i])));
        }
        let sum = f(sums[0], sums[1]);
        let [a, b, c, d] = single.iter().fold(sum, |sum, &x| f(sum, F32x4::from_array(x))).to_array();
        // Halves of the last vector, then its halves' halves.
        let [ac, bd, ..] = f(F32x4::from_array([a, b, 0.0, 0.0]), F32x4::from_array([c, d, 0.0, 0.0])).to_array();
        let sum = f(F32x4::splat(ac), F32x4::splat(bd));
        *out = rest.iter().fold(sum, |sum, &x| f(sum, F32x4::splat(x))).to_array()[0];
        return;
    }
    out.fill(neutral);
    for row in x.chunks_exact(out.len()) {
        for at in starts(row.len()) {
            let y = f(load(out, at, 0.0), load(row, at, 0.0));
            store(out, at, y);
        }
    }
}
