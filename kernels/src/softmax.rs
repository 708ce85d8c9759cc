//! Softmax over rows: `e^(x - max) / sum of e^(x - max)`.
//!
//! Three passes over a row that is in cache: the maximum, the exponentials with their sum, and the division, which is a
//! multiplication by the reciprocal. Without the maximum the exponentials of large scores would overflow. Exponentials
//! below 2^-126 count as zero.

use crate::arch::F32x4;
use crate::math::exp_flush;
use crate::parallel::for_each_chunk;
use crate::slices::{load, map, max};
use crate::vector::{FloatVector, LANES};
use std::array::from_fn;

/// An element takes as long as so many multiply-adds.
const WORK: usize = 32;

/// Replaces every row of `x`, `[rows, cols]`, by its softmax.
///
/// A row of minus infinities (every position masked) becomes zeros. A NaN or a plus infinity makes its whole row NaN.
///
/// # Panics
/// If `x` does not have `rows * cols` elements.
pub fn softmax(x: &mut [f32], rows: usize, cols: usize) {
    assert!(Some(x.len()) == rows.checked_mul(cols), "softmax: x is not [rows, cols]");
    if cols > 0 {
        let work = x.len().saturating_mul(WORK);
        for_each_chunk(x, cols, work, |_, row| softmax_row(row));
    }
}

fn softmax_row(row: &mut [f32]) {
    let max = max(row);
    if max == f32::NEG_INFINITY {
        // Minus infinities throughout, where x - max would be NaN; or NaN among them.
        let nan = row.iter().any(|x| x.is_nan());
        row.fill(if nan { f32::NAN } else { 0.0 });
        return;
    }
    let max = F32x4::splat(max);
    // Four vectors at a time, as in `slices::map`; the last block is completed with what becomes zeros.
    let (blocks, rest) = row.as_chunks_mut::<{ 4 * LANES }>();
    let mut last = [f32::NEG_INFINITY; 4 * LANES];
    last[..rest.len()].copy_from_slice(rest);
    let mut sums = [F32x4::splat(0.0); 4];
    for block in blocks.iter_mut().chain((!rest.is_empty()).then_some(&mut last)) {
        let y: [F32x4; 4] = from_fn(|i| exp_flush(load(block, i * LANES, 0.0) - max));
        for (i, x) in block.as_chunks_mut().0.iter_mut().enumerate() {
            sums[i] = sums[i] + y[i];
            *x = y[i].to_array();
        }
    }
    rest.copy_from_slice(&last[..rest.len()]);
    let sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    let [a, b, c, d] = sum.to_array();
    let reciprocal = F32x4::splat(1.0 / ((a + b) + (c + d)));
    map(row, |x| x * reciprocal);
}
