//! Element-wise steps. f32 arithmetic goes to the kernels; what little integer and bool arithmetic a model does at run
//! time (masks, positions) is done here, one element after the other as 64-bit integers: once, not for each type.

use super::{in_place, operand};
use crate::exec::Memory;
use crate::ir::{Binary, DType, Unary};
use crate::plan::{MAX_RANK, Sizes, Step};
use crate::tensor::Data;
use fourlane_kernels::binary::{self, BinaryOp};
use fourlane_kernels::{literal, unary};
use std::cmp::Ordering;

/// As many as the operator with the most has.
const OPERANDS: usize = 3;

/// Strides, in elements, with which a tensor of `from` is read as one of `to`: 0 along axes that are broadcast.
pub(super) fn broadcast_strides(from: &Sizes, to: &Sizes) -> [usize; MAX_RANK] {
    let mut strides = [0; MAX_RANK];
    let mut stride = 1;
    let lead = to.len() - from.len();
    for axis in (0..from.len()).rev() {
        if from[axis] != 1 {
            strides[lead + axis] = stride;
        }
        stride *= from[axis];
    }
    strides
}

/// Calls `f(position in the output, positions in the operands)` for every element.
fn for_each(step: &Step, f: &mut dyn FnMut(usize, [usize; OPERANDS])) {
    let shape = &step.outputs[0].shape;
    let mut strides = [[0; MAX_RANK]; OPERANDS];
    for (strides, view) in strides.iter_mut().zip(step.inputs.iter().flatten()) {
        *strides = broadcast_strides(&view.shape, shape);
    }
    let (mut index, mut at) = ([0; MAX_RANK], [0; OPERANDS]);
    for i in 0..shape.count() {
        f(i, at);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            let wraps = index[axis] == shape[axis];
            for (at, strides) in at.iter_mut().zip(&strides) {
                *at += strides[axis];
                *at -= if wraps { strides[axis] * shape[axis] } else { 0 };
            }
            if !wraps {
                break;
            }
            index[axis] = 0;
        }
    }
}

pub(super) fn fits_unary(op: Unary, dtype: DType) -> bool {
    match op {
        Unary::Not => dtype == DType::Bool,
        Unary::Abs | Unary::Neg | Unary::Sign => matches!(dtype, DType::F32 | DType::I64 | DType::I32),
        _ => dtype == DType::F32,
    }
}

pub(super) fn unary(op: Unary, step: &Step, memory: &Memory) {
    let view = operand(step, 0);
    if let (DType::F32, Some(op)) = (view.dtype, op.into()) {
        let apply = if memory.literal { literal::apply } else { unary::apply };
        return apply(op, in_place(step, memory));
    }
    let (x, mut out) = (memory.data(view), memory.out(step));
    for i in 0..x.len() {
        out.set(
            i,
            match (op, x) {
                (Unary::IsNan, Data::F32(x)) => x[i].is_nan().into(),
                (Unary::Not, _) => (x.integer(i) == 0).into(),
                (Unary::Neg, _) => x.integer(i).wrapping_neg(),
                (Unary::Abs, _) => x.integer(i).wrapping_abs(),
                _ => x.integer(i).signum(),
            },
        );
    }
}

pub(super) fn fits_binary(op: Binary, dtype: DType) -> bool {
    match op {
        Binary::And | Binary::Or => dtype == DType::Bool,
        Binary::Pow => dtype == DType::F32,
        _ if op.gives_bool() => true,
        _ => matches!(dtype, DType::F32 | DType::I64 | DType::I32),
    }
}

pub(super) fn binary(op: Binary, step: &Step, memory: &Memory) {
    let (a, b, out) = (operand(step, 0), operand(step, 1), &step.outputs[0]);
    if let (DType::F32, Some(op)) = (a.dtype, float_op(op)) {
        let (sa, sb) = (broadcast_strides(&a.shape, &out.shape), broadcast_strides(&b.shape, &out.shape));
        let (x, y, rank) = (memory.read(a), memory.read(b), out.shape.len());
        return binary::broadcast(op, &out.shape, x, &sa[..rank], y, &sb[..rank], memory.write(out));
    }
    let (x, y, mut out) = (memory.data(a), memory.data(b), memory.out(step));
    for_each(step, &mut |i, [j, k, _]| {
        let value = if op.gives_bool() {
            let order = match (x, y) {
                (Data::F32(x), Data::F32(y)) => x[j].partial_cmp(&y[k]),
                _ => Some(x.integer(j).cmp(&y.integer(k))),
            };
            let is = |test: fn(Ordering) -> bool| order.is_some_and(test).into();
            match op {
                Binary::Equal => is(Ordering::is_eq),
                Binary::Less => is(Ordering::is_lt),
                Binary::LessOrEqual => is(Ordering::is_le),
                Binary::Greater => is(Ordering::is_gt),
                _ => is(Ordering::is_ge),
            }
        } else {
            let (x, y) = (x.integer(j), y.integer(k));
            match op {
                Binary::Add => x.wrapping_add(y),
                Binary::Sub => x.wrapping_sub(y),
                Binary::Mul => x.wrapping_mul(y),
                // ONNX leaves division by zero open; 0 does not stop a page.
                Binary::Div => x.checked_div(y).unwrap_or(0),
                Binary::Min => x.min(y),
                Binary::And => x & y,
                Binary::Or => x | y,
                _ => x.max(y),
            }
        };
        out.set(i, value);
    });
}

fn float_op(op: Binary) -> Option<BinaryOp> {
    Some(match op {
        Binary::Add => BinaryOp::Add,
        Binary::Sub => BinaryOp::Sub,
        Binary::Mul => BinaryOp::Mul,
        Binary::Div => BinaryOp::Div,
        Binary::Pow => BinaryOp::Pow,
        Binary::Min => BinaryOp::Min,
        Binary::Max => BinaryOp::Max,
        _ => return None,
    })
}

pub(super) fn select(step: &Step, memory: &Memory) {
    let (test, mut out) = (memory.data(operand(step, 0)), memory.out(step));
    let (x, y) = (memory.bits(operand(step, 1)), memory.bits(operand(step, 2)));
    for_each(step, &mut |i, [j, k, l]| out.set(i, if test.integer(j) != 0 { x.integer(k) } else { y.integer(l) }));
}

pub(super) fn cast(step: &Step, memory: &Memory) {
    let (x, to, mut out) = (memory.data(operand(step, 0)), step.outputs[0].dtype, memory.out(step));
    for i in 0..x.len() {
        let value = match (to, x) {
            (DType::Bool, Data::F32(x)) => (x[i] != 0.0).into(),
            (DType::Bool, _) => (x.integer(i) != 0).into(),
            _ => x.integer(i),
        };
        out.set_number(i, value);
    }
}
