//! Element-wise functions of two tensors with NumPy broadcasting.
//!
//! Broadcasting is strides: an axis along which an operand repeats has stride 0. After merging axes (`nest`)
//! the inner loop runs over two contiguous operands, which the compiler vectorises. An operand that is not contiguous
//! there, a scalar or a column, passes through a small buffer first; so each function has one loop instead of one per
//! combination.

use crate::arch::F32x4;
use crate::nest::Nest;
use crate::parallel::{for_each_chunk, part};
use crate::slices::zip;
use crate::vector::FloatVector;
use bytemuck::cast_slice;

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

/// Elements of the buffer of an operand that is not contiguous.
const BUFFER: usize = 256;

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
fn apply(op: BinaryOp, nest: &Nest<2>, a: &[f32], b: &[f32], out: &mut [f32]) {
    let (len, [a_stride, b_stride]) = nest.inner(0);
    let mut a = Operand::new(a, a_stride as usize);
    let mut b = Operand::new(b, b_stride as usize);
    for (out, [a_start, b_start]) in out.chunks_exact_mut(len).zip(nest.outer(1)) {
        a.begin_row(a_start, len);
        b.begin_row(b_start, len);
        let function = Function::new(op, b.scalar());
        for (i, out) in out.chunks_mut(BUFFER).enumerate() {
            function.apply(a.chunk(i * BUFFER, out.len()), b.chunk(i * BUFFER, out.len()), out);
        }
    }
}

/// One operand of the inner loop.
struct Operand<'a> {
    data: &'a [f32],
    stride: usize,
    row: &'a [f32],
    buffer: [f32; BUFFER],
}

impl<'a> Operand<'a> {
    fn new(data: &'a [f32], stride: usize) -> Self {
        Operand { data, stride, row: &[], buffer: [0.0; BUFFER] }
    }

    /// Moves on to the `len` elements that start at `start`.
    fn begin_row(&mut self, start: usize, len: usize) {
        self.row = &self.data[start..];
        if let Some(x) = self.scalar() {
            self.buffer[..len.min(BUFFER)].fill(x);
        }
    }

    /// The element that repeats along the row, if one does.
    fn scalar(&self) -> Option<f32> {
        if self.stride == 0 { self.row.first().copied() } else { None }
    }

    /// `len` elements of the row from element `start` on.
    fn chunk(&mut self, start: usize, len: usize) -> &[f32] {
        match self.stride {
            0 => {}
            1 => return &self.row[start..start + len],
            stride => {
                let elements = self.row[start * stride..].iter().step_by(stride);
                self.buffer[..len].iter_mut().zip(elements).for_each(|(to, from)| *to = *from);
            }
        }
        &self.buffer[..len]
    }
}

/// A [`BinaryOp`], with the powers that need no logarithm told apart.
#[derive(Clone, Copy)]
enum Function {
    Op(BinaryOp),
    Square,
    Cube,
    Root,
}

impl Function {
    fn new(op: BinaryOp, scalar: Option<f32>) -> Self {
        match (op, scalar) {
            (BinaryOp::Pow, Some(2.0)) => Function::Square,
            (BinaryOp::Pow, Some(3.0)) => Function::Cube,
            (BinaryOp::Pow, Some(0.5)) => Function::Root,
            _ => Function::Op(op),
        }
    }

    #[inline]
    fn apply(self, a: &[f32], b: &[f32], out: &mut [f32]) {
        match self {
            Function::Square => zip(a, b, out, |a, _| a * a),
            Function::Cube => zip(a, b, out, |a, _| a * a * a),
            Function::Root => each(a, b, out, |a, _| root(a)),
            Function::Op(BinaryOp::Add) => zip(a, b, out, |a, b| a + b),
            Function::Op(BinaryOp::Sub) => zip(a, b, out, |a, b| a - b),
            Function::Op(BinaryOp::Mul) => zip(a, b, out, |a, b| a * b),
            Function::Op(BinaryOp::Div) => zip(a, b, out, |a, b| a / b),
            Function::Op(BinaryOp::Pow) => each(a, b, out, f32::powf),
            Function::Op(BinaryOp::Min) => zip(a, b, out, F32x4::minimum),
            Function::Op(BinaryOp::Max) => zip(a, b, out, F32x4::maximum),
        }
    }
}

/// `x` to the power of 0.5: +0 for -0, and infinite for minus infinity, where a square root is not.
#[inline(always)]
fn root(x: f32) -> f32 {
    if x == f32::NEG_INFINITY { f32::INFINITY } else { (x + 0.0).sqrt() }
}

#[inline(always)]
fn each(a: &[f32], b: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = f(a, b);
    }
}
