//! Layer normalisation: every row to mean 0 and variance 1, then scaled and shifted per column.
//!
//! Mean and variance take a pass each. The one-pass form `mean(x^2) - mean(x)^2` cancels when the mean is large
//! against the deviation, and the row is in cache anyway. The quotient is a division, as exporters write it, since a
//! product with the reciprocal rounds once more: a model that quantises the result agrees more often.

use crate::arch::F32x4;
use crate::parallel::for_each_chunk;
use crate::slices::{load, starts, store, sum};
use crate::vector::FloatVector;

/// Writes `(x - mean) / sqrt(variance + epsilon) * scale + bias` of every row of `x`, `[rows, cols]`, to `out`.
///
/// `scale` and `bias` are `[cols]`; without them the factor is 1 and the addend 0. The variance is the biased one.
///
/// # Panics
/// If a slice does not have the length that `rows` and `cols` say.
pub fn layer_norm(
    x: &[f32],
    out: &mut [f32],
    rows: usize,
    cols: usize,
    scale: Option<&[f32]>,
    bias: Option<&[f32]>,
    epsilon: f32,
) {
    assert!(x.len() == out.len(), "layer_norm: x and out differ in length");
    check(x, rows, cols, scale, bias);
    if cols > 0 {
        out.copy_from_slice(x);
        normalize_rows(out, cols, scale, bias, epsilon);
    }
}

/// [`layer_norm`] with the result in place of `x`.
///
/// # Panics
/// If a slice does not have the length that `rows` and `cols` say.
pub fn layer_norm_in_place(
    x: &mut [f32],
    rows: usize,
    cols: usize,
    scale: Option<&[f32]>,
    bias: Option<&[f32]>,
    epsilon: f32,
) {
    check(x, rows, cols, scale, bias);
    if cols > 0 {
        normalize_rows(x, cols, scale, bias, epsilon);
    }
}

pub(crate) fn check(x: &[f32], rows: usize, cols: usize, scale: Option<&[f32]>, bias: Option<&[f32]>) {
    assert!(Some(x.len()) == rows.checked_mul(cols), "layer_norm: x is not [rows, cols]");
    assert!(scale.is_none_or(|scale| scale.len() == cols), "layer_norm: scale is not [cols]");
    assert!(bias.is_none_or(|bias| bias.len() == cols), "layer_norm: bias is not [cols]");
}

/// Normalising an element takes as long as so many multiply-adds.
const WORK: usize = 16;

fn normalize_rows(x: &mut [f32], cols: usize, scale: Option<&[f32]>, bias: Option<&[f32]>, epsilon: f32) {
    let work = x.len().saturating_mul(WORK);
    for_each_chunk(x, cols, work, |_, row| normalize(row, scale, bias, epsilon));
}

fn normalize(row: &mut [f32], scale: Option<&[f32]>, bias: Option<&[f32]>, epsilon: f32) {
    let len = row.len() as f32;
    let mean = sum(row, 0.0, |x| x) / len;
    let center = F32x4::splat(mean);
    let variance = sum(row, mean, |x| (x - center) * (x - center)) / len;
    let deviation = F32x4::splat((variance + epsilon).sqrt());
    for at in starts(row.len()) {
        let mut y = (load(row, at, mean) - center) / deviation;
        if let Some(scale) = scale {
            y = y * load(scale, at, 1.0);
        }
        if let Some(bias) = bias {
            y = y + load(bias, at, 0.0);
        }
        store(row, at, y);
    }
}
