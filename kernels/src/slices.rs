//! Slices as sequences of vectors, the last one padded.

use crate::arch::F32x4;
use crate::vector::{FloatVector, LANES};
use std::array::from_fn;

/// Where the vectors of a slice of `len` elements begin.
#[inline(always)]
pub(crate) fn starts(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(LANES)
}

/// The four elements from `at` on, with `fill` for those behind the end.
#[inline(always)]
pub(crate) fn load(x: &[f32], at: usize, fill: f32) -> F32x4 {
    let x = &x[at..];
    match x.first_chunk() {
        Some(&lanes) => F32x4::from_array(lanes),
        None => F32x4::from_array(load_last(x, fill)),
    }
}

/// Once in the binary, not in every loop.
#[cold]
#[inline(never)]
fn load_last(x: &[f32], fill: f32) -> [f32; LANES] {
    from_fn(|i| x.get(i).copied().unwrap_or(fill))
}

/// Overwrites the four elements from `at` on, as far as they exist.
#[inline(always)]
pub(crate) fn store(x: &mut [f32], at: usize, vector: F32x4) {
    let x = &mut x[at..];
    match x.first_chunk_mut() {
        Some(lanes) => *lanes = vector.to_array(),
        None => store_last(x, &vector.to_array()),
    }
}

#[cold]
#[inline(never)]
fn store_last(x: &mut [f32], lanes: &[f32; LANES]) {
    x.iter_mut().zip(lanes).for_each(|(x, lane)| *x = *lane);
}

/// The elements by sixteen, the last ones completed with `fill` in `last`.
#[inline(always)]
pub(crate) fn blocks<'a>(
    x: &'a [f32],
    fill: f32,
    last: &'a mut [f32; 4 * LANES],
) -> impl Iterator<Item = &'a [f32; 4 * LANES]> {
    let (blocks, rest) = x.as_chunks();
    *last = [fill; 4 * LANES];
    last[..rest.len()].copy_from_slice(rest);
    blocks.iter().chain((!rest.is_empty()).then_some(&*last))
}

/// Applies `f` to every element in place.
///
/// Four vectors at a time: engines make a constant anew in every round of a loop, which for functions with many of them
/// takes longer than the function.
#[inline(always)]
pub(crate) fn map(x: &mut [f32], f: impl Fn(F32x4) -> F32x4) {
    let (blocks, rest) = x.as_chunks_mut::<{ 4 * LANES }>();
    // The last block is completed, so that the function is compiled once.
    let mut last = [0.0; 4 * LANES];
    last[..rest.len()].copy_from_slice(rest);
    for block in blocks.iter_mut().chain((!rest.is_empty()).then_some(&mut last)) {
        let y: [F32x4; 4] = from_fn(|i| f(load(block, i * LANES, 0.0)));
        for (x, y) in block.as_chunks_mut().0.iter_mut().zip(y) {
            *x = y.to_array();
        }
    }
    rest.copy_from_slice(&last[..rest.len()]);
}

/// Writes `f` of the elements of two slices, which are equally long, to `a`.
#[inline(always)]
pub(crate) fn zip_in_place(a: &mut [f32], b: &[f32], f: impl Fn(F32x4, F32x4) -> F32x4) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        *a = f(F32x4::from_array(*a), F32x4::from_array(*b)).to_array();
    }
    if !a_rest.is_empty() {
        store(a_rest, 0, f(load(a_rest, 0, 0.0), load(b_rest, 0, 0.0)));
    }
}

/// Folds a slice, padded with `fill`, into the four lanes of one vector.
///
/// `combine` merges two accumulators: four run side by side, since one would wait for itself at every step.
#[inline(always)]
pub(crate) fn fold(
    x: &[f32],
    fill: f32,
    start: F32x4,
    step: impl Fn(F32x4, F32x4) -> F32x4,
    combine: impl Fn(F32x4, F32x4) -> F32x4,
) -> [f32; LANES] {
    let mut lanes = [start; 4];
    let (blocks, rest) = x.as_chunks::<{ 4 * LANES }>();
    for block in blocks {
        for i in 0..4 {
            lanes[i] = step(lanes[i], load(block, i * LANES, fill));
        }
    }
    for at in starts(rest.len()) {
        lanes[0] = step(lanes[0], load(rest, at, fill));
    }
    combine(combine(lanes[0], lanes[1]), combine(lanes[2], lanes[3])).to_array()
}

/// The sum of `f` over a slice; `f(fill)` must be zero.
#[inline(always)]
pub(crate) fn sum(x: &[f32], fill: f32, f: impl Fn(F32x4) -> F32x4) -> f32 {
    let [a, b, c, d] = fold(x, fill, F32x4::splat(0.0), |sum, x| sum + f(x), |a, b| a + b);
    (a + b) + (c + d)
}

/// The largest element, NaN aside; minus infinity if there is none.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let lowest = f32::NEG_INFINITY;
    fold(x, lowest, F32x4::splat(lowest), F32x4::max, F32x4::max).into_iter().fold(lowest, f32::max)
}
