//! Element-wise steps. f32 arithmetic goes to the kernels; what little integer and bool arithmetic a model does at run
//! time (masks, positions) is done here, generically.

use super::{in_place, operand};
use crate::exec::Memory;
use crate::ir::{Binary, DType, Unary};
use crate::plan::{MAX_RANK, Sizes, Step, View};
use fourlane_kernels::binary::{self, BinaryOp};
use fourlane_kernels::{literal, unary};

/// Integers that i64 arithmetic can be brought back to.
pub(super) trait FromI64 {
    fn from_i64(value: i64) -> Self;
}

impl FromI64 for i64 {
    fn from_i64(value: i64) -> i64 {
        value
    }
}

impl FromI64 for i32 {
    fn from_i64(value: i64) -> i32 {
        value as i32
    }
}

impl FromI64 for u8 {
    fn from_i64(value: i64) -> u8 {
        value as u8
    }
}

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

/// Calls `f(position in the output, position in each operand)` for every element.
fn for_each<const N: usize>(shape: &Sizes, strides: &[[usize; MAX_RANK]; N], mut f: impl FnMut(usize, [usize; N])) {
    let mut index = [0; MAX_RANK];
    let mut at = [0; N];
    for i in 0..shape.count() {
        f(i, at);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            for (at, strides) in at.iter_mut().zip(strides) {
                *at += strides[axis];
            }
            if index[axis] < shape[axis] {
                break;
            }
            for (at, strides) in at.iter_mut().zip(strides) {
                *at -= strides[axis] * shape[axis];
            }
            index[axis] = 0;
        }
    }
}

pub(super) fn check_unary(op: Unary, dtype: DType) -> Option<String> {
    let fine = match op {
        Unary::Not => dtype == DType::Bool,
        Unary::Abs | Unary::Neg | Unary::Sign => matches!(dtype, DType::F32 | DType::I64 | DType::I32),
        _ => dtype == DType::F32,
    };
    (!fine).then(|| format!("{op:?} of {}", dtype.name()))
}

pub(super) fn unary(op: Unary, step: &Step, memory: &Memory) {
    let (view, out) = (operand(step, 0), &step.outputs[0]);
    match (op, view.dtype) {
        (Unary::IsNan, _) => map(memory.read(view), memory.write(out), |x: f32| u8::from(x.is_nan())),
        (Unary::Not, _) => map(memory.read(view), memory.write(out), |x: u8| u8::from(x == 0)),
        (_, DType::I64) => map(memory.read(view), memory.write(out), |x: i64| integer_unary(op, x)),
        (_, DType::I32) => map(memory.read(view), memory.write(out), |x: i32| integer_unary(op, x.into()) as i32),
        _ => {
            if let Some(op) = op.into() {
                let apply = if memory.literal { literal::apply } else { unary::apply };
                apply(op, in_place(step, memory));
            }
        }
    }
}

fn integer_unary(op: Unary, x: i64) -> i64 {
    match op {
        Unary::Neg => x.wrapping_neg(),
        Unary::Abs => x.wrapping_abs(),
        _ => x.signum(),
    }
}

fn map<T: Copy, U>(x: &[T], out: &mut [U], f: impl Fn(T) -> U) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = f(x);
    }
}

pub(super) fn check_binary(op: Binary, dtype: DType) -> Option<String> {
    let fine = match op {
        Binary::And | Binary::Or => dtype == DType::Bool,
        Binary::Pow => dtype == DType::F32,
        _ if op.gives_bool() => true,
        _ => matches!(dtype, DType::F32 | DType::I64 | DType::I32),
    };
    (!fine).then(|| format!("{op:?} of {}", dtype.name()))
}

pub(super) fn binary(op: Binary, step: &Step, memory: &Memory) {
    let (a, b, out) = (operand(step, 0), operand(step, 1), &step.outputs[0]);
    match a.dtype {
        DType::F32 => match float_op(op) {
            Some(op) => {
                let rank = out.shape.len();
                let (sa, sb) = (broadcast_strides(&a.shape, &out.shape), broadcast_strides(&b.shape, &out.shape));
                binary::broadcast(
                    op,
                    &out.shape,
                    memory.read(a),
                    &sa[..rank],
                    memory.read(b),
                    &sb[..rank],
                    memory.write(out),
                );
            }
            None => compare::<f32>(op, a, b, out, memory),
        },
        DType::I64 if op.gives_bool() => compare::<i64>(op, a, b, out, memory),
        DType::I32 if op.gives_bool() => compare::<i32>(op, a, b, out, memory),
        DType::I8 => compare::<i8>(op, a, b, out, memory),
        DType::I64 => arithmetic::<i64>(op, a, b, out, memory),
        DType::I32 => arithmetic::<i32>(op, a, b, out, memory),
        _ => match op {
            Binary::And => zip(a, b, out, memory, |x: u8, y: u8| x & y),
            Binary::Or => zip(a, b, out, memory, |x: u8, y: u8| x | y),
            _ => compare::<u8>(op, a, b, out, memory),
        },
    }
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

fn zip<T: bytemuck::Pod, U: bytemuck::Pod>(a: &View, b: &View, out: &View, memory: &Memory, f: impl Fn(T, T) -> U) {
    let (x, y, result): (&[T], &[T], &mut [U]) = (memory.read(a), memory.read(b), memory.write(out));
    let strides = [broadcast_strides(&a.shape, &out.shape), broadcast_strides(&b.shape, &out.shape)];
    for_each(&out.shape, &strides, |i, [j, k]| result[i] = f(x[j], y[k]));
}

fn compare<T: bytemuck::Pod + PartialOrd>(op: Binary, a: &View, b: &View, out: &View, memory: &Memory) {
    zip(a, b, out, memory, |x: T, y: T| {
        u8::from(match op {
            Binary::Equal => x == y,
            Binary::Less => x < y,
            Binary::LessOrEqual => x <= y,
            Binary::Greater => x > y,
            _ => x >= y,
        })
    });
}

fn arithmetic<T: bytemuck::Pod + Into<i64> + FromI64>(op: Binary, a: &View, b: &View, out: &View, memory: &Memory) {
    zip(a, b, out, memory, |x: T, y: T| {
        let (x, y): (i64, i64) = (x.into(), y.into());
        T::from_i64(match op {
            Binary::Add => x.wrapping_add(y),
            Binary::Sub => x.wrapping_sub(y),
            Binary::Mul => x.wrapping_mul(y),
            // ONNX leaves division by zero open; 0 does not stop a page.
            Binary::Div => x.checked_div(y).unwrap_or(0),
            Binary::Min => x.min(y),
            _ => x.max(y),
        })
    });
}

pub(super) fn select(step: &Step, memory: &Memory) {
    match step.outputs[0].dtype.size() {
        8 => select_of::<u64>(step, memory),
        4 => select_of::<u32>(step, memory),
        _ => select_of::<u8>(step, memory),
    }
}

fn select_of<T: bytemuck::Pod>(step: &Step, memory: &Memory) {
    let (c, a, b, out) = (operand(step, 0), operand(step, 1), operand(step, 2), &step.outputs[0]);
    let (test, x, y): (&[u8], &[T], &[T]) = (memory.read(c), memory.read(a), memory.read(b));
    let strides = [c, a, b].map(|v| broadcast_strides(&v.shape, &out.shape));
    let result = memory.write(out);
    for_each(&out.shape, &strides, |i, [j, k, l]| result[i] = if test[j] != 0 { x[k] } else { y[l] });
}

pub(super) fn cast(step: &Step, memory: &Memory) {
    let view = operand(step, 0);
    match view.dtype {
        DType::F32 => cast_from(step, memory, |x: f32| x as i64, |x| x, |x| x != 0.0),
        DType::I64 => cast_from(step, memory, |x: i64| x, |x| x as f32, |x| x != 0),
        DType::I32 => cast_from(step, memory, |x: i32| x.into(), |x| x as f32, |x| x != 0),
        DType::I8 => cast_from(step, memory, |x: i8| x.into(), |x| x.into(), |x| x != 0),
        _ => cast_from(step, memory, |x: u8| x.into(), |x| x.into(), |x| x != 0),
    }
}

fn cast_from<T: bytemuck::Pod>(
    step: &Step,
    memory: &Memory,
    integer: impl Fn(T) -> i64,
    float: impl Fn(T) -> f32,
    bool: impl Fn(T) -> bool,
) {
    let (x, out) = (memory.read::<T>(operand(step, 0)), &step.outputs[0]);
    match out.dtype {
        DType::F32 => map(x, memory.write(out), float),
        DType::Bool => map(x, memory.write(out), |x| u8::from(bool(x))),
        DType::I64 => map(x, memory.write(out), integer),
        DType::I32 => map(x, memory.write(out), |x| integer(x) as i32),
        _ => map(x, memory.write(out), |x| integer(x) as u8),
    }
}
