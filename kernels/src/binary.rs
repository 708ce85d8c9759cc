//! Element-wise functions of two tensors with NumPy broadcasting.
//!
//! Broadcasting is strides: an axis along which an operand repeats has stride 0. After merging axes (`nest`) one inner
//! loop takes four elements of each operand, wherever they are, and calls the function for them. Models spend next to
//! no time here, so there is no loop for each function; all of it is `#[inline]`: compiled, for size, with the crate
//! that calls it.

use crate::arch::F32x4;
use crate::nest::Nest;
use crate::parallel::{for_each_chunk, part};
use crate::slices::{load, store};
use crate::vector::{FloatVector, LANES};
use bytemuck::cast_slice;
use std::array::from_fn;

pub use crate::nest::MAX_RANK;

/// A function of two numbers, see [`broadcast`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BinaryOp {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// `a` to the power of `b`; squares, cubes and square roots are cheap if `b` is one number.
    Pow,
    /// The smaller one; NaN if either is.
    Min,
    /// The larger one; NaN if either is.
    Max,
}

/// An element takes as long as so many multiply-adds.
const WORK: usize = 8;

/// `out = op(a, b)`, both operands read as tensors of `shape`; `out` is contiguous.
///
/// Strides count elements, one for each axis, 0 where the operand repeats.
///
/// # Panics
/// If the numbers of axes differ or exceed [`MAX_RANK`], if `out` does not have the size of `shape`, or if an operand
/// is too short.
#[inline]
pub fn broadcast(
    op: BinaryOp,
    shape: &[usize],
    a: &[f32],
    a_strides: &[usize],
    b: &[f32],
    b_strides: &[usize],
    out: &mut [f32],
) {
    assert!(out.len() == shape.iter().product::<usize>(), "broadcast: out does not have the size of shape");
    let nest = Nest::new(shape, [cast_slice(a_strides), cast_slice(b_strides)]);
    let [a_span, b_span] = nest.spans();
    assert!(a.len() >= a_span && b.len() >= b_span, "broadcast: an operand is too short");
    if out.is_empty() {
        return;
    }
    let work = out.len().saturating_mul(WORK);
    if let Some(axis) = shape.iter().position(|&len| len > 1)
        && part(shape[axis], 1, work) < shape[axis]
    {
        let (height, width) = (part(shape[axis], 1, work), out.len() / shape[axis]);
        return for_each_chunk(out, height * width, work, |i, out| {
            let mut rows = [1; MAX_RANK];
            rows[..shape.len()].copy_from_slice(shape);
            rows[axis] = out.len() / width;
            let nest = Nest::new(&rows[..shape.len()], [cast_slice(a_strides), cast_slice(b_strides)]);
            let [a, b] = [(a, a_strides), (b, b_strides)].map(|(x, strides)| &x[i * height * strides[axis]..]);
            apply(op, &nest, a, b, out);
        });
    }
    apply(op, &nest, a, b, out);
}

/// [`broadcast`] on this thread.
#[inline]
fn apply(op: BinaryOp, nest: &Nest<2>, a: &[f32], b: &[f32], out: &mut [f32]) {
    let (len, [a_stride, b_stride]) = nest.inner(0);
    for (out, [a_start, b_start]) in out.chunks_exact_mut(len).zip(nest.outer(1)) {
        let (a, b) = (&a[a_start..], &b[b_start..]);
        let f = function(op, if b_stride == 0 { Some(b[0]) } else { None });
        for at in (0..len).step_by(LANES) {
            let count = LANES.min(len - at);
            store(out, at, f(lanes(a, a_stride as usize, at, count), lanes(b, b_stride as usize, at, count)));
        }
    }
}

/// The elements `at..at + count` of an operand; the other lanes do not matter.
#[inline]
fn lanes(x: &[f32], stride: usize, at: usize, count: usize) -> F32x4 {
    match stride {
        0 => F32x4::splat(x[0]),
        1 => load(x, at, 0.0),
        _ => F32x4::from_array(from_fn(|i| x[(at + i.min(count - 1)) * stride])),
    }
}

/// What computes it, given the second operand if that is one number: there are powers that need no logarithm.
#[inline]
fn function(op: BinaryOp, scalar: Option<f32>) -> fn(F32x4, F32x4) -> F32x4 {
    match (op, scalar) {
        (BinaryOp::Pow, Some(2.0)) => |a, _| a * a,
        (BinaryOp::Pow, Some(3.0)) => |a, _| a * a * a,
        (BinaryOp::Pow, Some(0.5)) => |a, _| F32x4::from_array(a.to_array().map(root)),
        (BinaryOp::Pow, _) => |a, b| F32x4::from_array(from_fn(|i| a.to_array()[i].powf(b.to_array()[i]))),
        (BinaryOp::Add, _) => |a, b| a + b,
        (BinaryOp::Sub, _) => |a, b| a - b,
        (BinaryOp::Mul, _) => |a, b| a * b,
        (BinaryOp::Div, _) => |a, b| a / b,
        (BinaryOp::Min, _) => F32x4::minimum,
        (BinaryOp::Max, _) => F32x4::maximum,
    }
}

/// `x` to the power of 0.5: +0 for -0, and infinite for minus infinity, where a square root is not.
#[inline]
fn root(x: f32) -> f32 {
    if x == f32::NEG_INFINITY { f32::INFINITY } else { (x + 0.0).sqrt() }
}
