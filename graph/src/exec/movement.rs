//! Steps that move elements without computing with them.

use super::elementwise::broadcast_strides;
use super::operand;
use crate::error::{Error, Failure};
use crate::exec::Memory;
use crate::infer::normalize_axis;
use crate::ir::{DType, Node, Op};
use crate::plan::{MAX_RANK, Sizes, Step, View};
use crate::tensor::Data;
use crate::weights::halves;
use fourlane_kernels::{gather as rows, gemm_half, strided};
use std::ops::Range;

/// `Transpose`, `Expand`, `Slice`: the operand read with other strides.
pub(super) fn strided(op: &Op, step: &Step, memory: &Memory) {
    let (x, out) = (operand(step, 0), &step.outputs[0]);
    let mut strides = [0isize; MAX_RANK];
    let mut start = 0;
    match op {
        Op::Transpose { perm } => {
            let own = contiguous(&x.shape);
            for (stride, &axis) in strides.iter_mut().zip(perm) {
                *stride = own[axis] as isize;
            }
        }
        Op::Slice => {
            start = step.numbers[0] as usize;
            for (stride, &n) in strides.iter_mut().zip(&step.numbers[1..]) {
                *stride = n as isize;
            }
        }
        _ => {
            for (stride, n) in strides.iter_mut().zip(broadcast_strides(&x.shape, &out.shape)) {
                *stride = n as isize;
            }
        }
    }
    let strides = &strides[..out.shape.len()];
    if out.shape.count() == 0 {
        return;
    }
    match out.dtype.size() {
        8 => strided_of::<u64>(x, start, strides, out, memory),
        4 => strided_of::<u32>(x, start, strides, out, memory),
        _ => strided_of::<u8>(x, start, strides, out, memory),
    }
}

fn strided_of<T: bytemuck::Pod + fourlane_kernels::Element>(
    x: &View,
    start: usize,
    strides: &[isize],
    out: &View,
    memory: &Memory,
) {
    strided::copy::<T>(&out.shape, &memory.read(x)[start..], strides, memory.write(out));
}

fn contiguous(shape: &Sizes) -> [usize; MAX_RANK] {
    let mut strides = [0; MAX_RANK];
    let mut stride = 1;
    for axis in (0..shape.len()).rev() {
        strides[axis] = stride;
        stride *= shape[axis];
    }
    strides
}

/// The same bytes elsewhere.
pub(super) fn copy(step: &Step, memory: &Memory) {
    memory.bytes_mut(&step.outputs[0]).copy_from_slice(memory.bytes(operand(step, 0)));
}

/// `(outer, inner)`: how often a run along `axis` starts, and the bytes of one element of the axis.
fn around(shape: &Sizes, axis: i64, dtype: DType) -> (usize, usize, usize) {
    let axis = normalize_axis(axis, shape.len()).unwrap_or(0);
    (axis, shape[..axis].iter().product(), shape[axis + 1..].iter().product::<usize>() * dtype.size())
}

/// Calls `copy(bytes of the part, bytes of the whole)` for each run of bytes that a tensor has in common with one of the
/// parts that it is cut into along `axis`, the one that begins at byte `at` of each row.
fn for_each_run(
    axis: i64,
    whole: &View,
    part: &View,
    at: &mut usize,
    copy: &mut dyn FnMut(Range<usize>, Range<usize>),
) {
    let (axis, outer, inner) = around(&whole.shape, axis, whole.dtype);
    let (row, length) = (whole.shape[axis] * inner, part.shape[axis] * inner);
    for o in 0..outer {
        copy(o * length..(o + 1) * length, o * row + *at..o * row + *at + length);
    }
    *at += length;
}

pub(super) fn concat(axis: i64, step: &Step, memory: &Memory) {
    let (out, mut at) = (&step.outputs[0], 0);
    let result = memory.bytes_mut(out);
    for part in step.inputs.iter().flatten() {
        let data = memory.bytes(part);
        for_each_run(axis, out, part, &mut at, &mut |from, to| result[to].copy_from_slice(&data[from]));
    }
}

pub(super) fn split(axis: i64, step: &Step, memory: &Memory) {
    let (x, mut at) = (operand(step, 0), 0);
    let data = memory.bytes(x);
    for part in &step.outputs {
        let result = memory.bytes_mut(part);
        for_each_run(axis, x, part, &mut at, &mut |to, from| result[to].copy_from_slice(&data[from]));
    }
}

/// `index` counted from the front of `size` elements.
fn resolve(index: i64, size: usize, node: &Node) -> Result<usize, Failure> {
    let outside = || Error::IndexOutOfRange { node: node.name.clone(), index, rows: size }.into();
    normalize_axis(index, size).ok_or_else(outside)
}

pub(super) fn gather(axis: i64, node: &Node, step: &Step, memory: &Memory) -> Result<(), Failure> {
    let (x, indices) = (operand(step, 0), operand(step, 1));
    let (axis, outer, inner) = around(&x.shape, axis, x.dtype);
    let indices: &[i64] = match indices.dtype {
        DType::I32 => {
            let wide = View { dtype: DType::I64, shape: indices.shape, ..step.scratch };
            let wide = memory.write::<i64>(&wide);
            for (to, &from) in wide.iter_mut().zip(memory.read::<i32>(indices)) {
                *to = from.into();
            }
            wide
        }
        _ => memory.read(indices),
    };
    let size = x.shape[axis];
    if x.dtype != step.outputs[0].dtype {
        let inner = inner / x.dtype.size();
        let (data, out): (&[u16], &mut [f32]) = (memory.read(x), memory.write(&step.outputs[0]));
        for (i, out) in out.chunks_exact_mut(inner.max(1)).enumerate() {
            let row = i / indices.len() * size + resolve(indices[i % indices.len()], size, node)?;
            gemm_half::to_f32(halves(x.dtype, &data[row * inner..][..inner]), out);
        }
        return Ok(());
    }
    let (data, out) = (memory.bytes(x), memory.bytes_mut(&step.outputs[0]));
    let length = indices.len() * inner;
    for o in 0..outer {
        let table = &data[o * size * inner..][..size * inner];
        rows::rows(table, inner, indices, &mut out[o * length..][..length]).map_err(|i| Error::IndexOutOfRange {
            node: node.name.clone(),
            index: indices[i],
            rows: size,
        })?;
    }
    Ok(())
}

pub(super) fn look_up(step: &Step, memory: &Memory) {
    let (x, out) = (memory.read::<u8>(operand(step, 0)), memory.write::<u8>(&step.outputs[0]));
    let Some(table) = memory.read::<u8>(operand(step, 1)).first_chunk::<256>() else { return };
    for (x, out) in x.iter().zip(out) {
        *out = table[usize::from(*x)];
    }
}

/// One of two operands, as the first says.
pub(super) fn choose(step: &Step, memory: &Memory) {
    let is_true = memory.read::<u8>(operand(step, 0)).first().is_some_and(|&c| c != 0);
    let taken = operand(step, if is_true { 1 } else { 2 });
    memory.bytes_mut(&step.outputs[0]).copy_from_slice(memory.bytes(taken));
}

pub(super) fn gather_elements(axis: i64, node: &Node, step: &Step, memory: &Memory) -> Result<(), Failure> {
    let (x, indices, out) = (operand(step, 0), operand(step, 1), &step.outputs[0]);
    let index = memory.data(indices);
    let axis = normalize_axis(axis, x.shape.len()).unwrap_or(0);
    let (strides, own) = (contiguous(&x.shape), contiguous(&indices.shape));
    let size = x.dtype.size();
    let (data, result) = (memory.bytes(x), memory.bytes_mut(out));
    for i in 0..out.shape.count() {
        let mut at = 0;
        for a in 0..x.shape.len() {
            let index = match a == axis {
                true => index.integer(i),
                // Indices may cover less of the other axes than the data, never more.
                false => (i / own[a] % indices.shape[a]) as i64,
            };
            at += resolve(index, x.shape[a], node)? * strides[a];
        }
        result[i * size..][..size].copy_from_slice(&data[at * size..][..size]);
    }
    Ok(())
}

pub(super) fn gather_nd(batch_dims: usize, node: &Node, step: &Step, memory: &Memory) -> Result<(), Failure> {
    let (x, indices, out) = (operand(step, 0), operand(step, 1), &step.outputs[0]);
    let (index, depth) = (memory.data(indices), indices.shape.last().copied().unwrap_or(1));
    let inner = x.shape[batch_dims + depth..].iter().product::<usize>() * x.dtype.size();
    let batch: usize = x.shape[..batch_dims].iter().product();
    let tuples = indices.shape.count().checked_div(depth).unwrap_or(0);
    let (data, result) = (memory.bytes(x), memory.bytes_mut(out));
    for t in 0..tuples {
        let mut at = t / (tuples / batch.max(1)).max(1);
        for d in 0..depth {
            let size = x.shape[batch_dims + d];
            at = at * size + resolve(index.integer(t * depth + d), size, node)?;
        }
        result[t * inner..][..inner].copy_from_slice(&data[at * inner..][..inner]);
    }
    Ok(())
}

/// Copies the operand into the result: behind its pads, of which nothing is written, or again and again.
fn place(pads: Option<&[i64]>, step: &Step, memory: &Memory) {
    let (x, out) = (operand(step, 0), &step.outputs[0]);
    let (own, to) = (contiguous(&x.shape), contiguous(&out.shape));
    let (data, mut result) = (memory.bits(x), memory.out(step));
    'elements: for i in 0..out.shape.count() {
        let mut at = 0;
        for a in 0..out.shape.len() {
            let mut index = i / to[a] % out.shape[a];
            match pads {
                Some(pads) => index = (index as i64 - pads[a]) as usize,
                None => index %= x.shape[a],
            }
            if index >= x.shape[a] {
                continue 'elements;
            }
            at += index * own[a];
        }
        result.set(i, data.integer(at));
    }
}

pub(super) fn tile(step: &Step, memory: &Memory) {
    place(None, step, memory);
}

pub(super) fn pad(step: &Step, memory: &Memory) {
    let zero = [0u8; 8];
    let value = match step.input(2) {
        Some(value) => memory.bytes(value),
        None => &zero[..step.outputs[0].dtype.size()],
    };
    for element in memory.bytes_mut(&step.outputs[0]).chunks_exact_mut(value.len().max(1)) {
        element.copy_from_slice(value);
    }
    place(Some(&step.numbers), step, memory);
}

pub(super) fn range(step: &Step, memory: &Memory) {
    let number = |i: usize| memory.data(operand(step, i)).integer(0);
    let (start, delta) = (number(0), number(2));
    let mut out = memory.out(step);
    for i in 0..step.outputs[0].shape.count() {
        out.set(i, start.wrapping_add(delta.wrapping_mul(i as i64)));
    }
}

pub(super) fn cumulate(exclusive: bool, reverse: bool, step: &Step, memory: &Memory) {
    let x = operand(step, 0);
    let axis = normalize_axis(memory.data(operand(step, 1)).integer(0), x.shape.len()).unwrap_or(0);
    let (len, inner): (usize, usize) = (x.shape[axis], x.shape[axis + 1..].iter().product());
    let (data, mut out) = (memory.data(x), memory.out(step));
    for r in 0..data.len() / len.max(1) {
        let (mut sum, mut float) = (0i64, 0f32);
        for l in 0..len {
            let at = (r / inner * len + if reverse { len - 1 - l } else { l }) * inner + r % inner;
            let before = sum;
            if let Data::F32(data) = data {
                float += data[at];
                sum = float.to_bits().into();
            } else {
                sum = sum.wrapping_add(data.integer(at));
            }
            out.set(at, if exclusive { before } else { sum });
        }
    }
}

/// Each element is put into its place among the best so far, which are few.
pub(super) fn top_k(axis: i64, largest: bool, step: &Step, memory: &Memory) {
    let (x, out) = (operand(step, 0), &step.outputs[0]);
    let axis = normalize_axis(axis, x.shape.len()).unwrap_or(0);
    let (len, best): (usize, usize) = (x.shape[axis], out.shape[axis]);
    let inner: usize = x.shape[axis + 1..].iter().product();
    let (data, values): (&[f32], &mut [f32]) = (memory.read(x), memory.write(out));
    let indices: &mut [i64] = memory.write(&step.outputs[1]);
    for r in 0..data.len() / len.max(1) {
        let (o, r) = (r / inner, r % inner);
        let place = |rank: usize| (o * best + rank) * inner + r;
        for l in 0..len {
            let value = data[(o * len + l) * inner + r];
            let mut rank = l.min(best);
            while rank > 0 && (if largest { value > values[place(rank - 1)] } else { value < values[place(rank - 1)] })
            {
                rank -= 1;
                if rank + 1 < best {
                    values[place(rank + 1)] = values[place(rank)];
                    indices[place(rank + 1)] = indices[place(rank)];
                }
            }
            if rank < best {
                values[place(rank)] = value;
                indices[place(rank)] = l as i64;
            }
        }
    }
}
