//! Integer matrix products and the steps between floats and integers.

use super::matrix::Stack;
use super::{of, operand, optional};
use crate::exec::Memory;
use crate::infer::normalize_axis;
use crate::ir::{Activation, DType, Op};
use crate::plan::{Sizes, Step, View};
use crate::tensor::Data;
use crate::weights::{halves, int8};
use fourlane_kernels::gemm::Epilogue;
use fourlane_kernels::gemm_blocks::{self, Blocks, Code, Numbers, Zero};
use fourlane_kernels::gemm_int8::{self, Int8};
use fourlane_kernels::quantize as kernel;
use std::ops::Range;

pub(super) fn scratch_bytes(step: &Step) -> usize {
    let (Some(a), Some(b)) = (step.input(0), step.input(1)) else { return 0 };
    let [.., k, n] = *b.shape else { return 0 };
    // Packed b, zero points widened to i32, and what the kernel needs.
    let zeros = (zero_count(step.input(2)) + zero_count(step.input(3))) * 4;
    let packed = gemm_int8::packed_len(k, n).next_multiple_of(16);
    packed.saturating_add(zeros).saturating_add(kernel_bytes(rows(&a.shape), k))
}

/// Zero points widened to i32, and what the kernel needs.
pub(super) fn linear_scratch_bytes(step: &Step) -> usize {
    let Some(x) = step.input(0) else { return 0 };
    let (m, k) = (rows(&x.shape), x.shape.last().copied().unwrap_or(1));
    step.input(2).map_or(0, |zero| zero.shape.count() * 4).saturating_add(kernel_bytes(m, k))
}

/// Rows of all matrices of a stack together.
fn rows(shape: &Sizes) -> usize {
    shape[..shape.len().saturating_sub(1)].iter().product()
}

fn kernel_bytes(m: usize, k: usize) -> usize {
    gemm_int8::scratch_len(m, k).saturating_mul(4)
}

/// How many zero points an integer product reads; one if there are none.
fn zero_count(zeros: Option<&View>) -> usize {
    zeros.map_or(1, |zeros| zeros.shape.count().max(1))
}

pub(super) fn check(op: &Op, step: &Step) -> Option<String> {
    let dtype = |i: usize| step.input(i).map(|view| view.dtype);
    let is_int8 = |t: Option<DType>| matches!(t, Some(DType::U8 | DType::I8));
    match op {
        Op::MatMulInteger => {
            let wrong = [0, 1].into_iter().find(|&i| !is_int8(dtype(i)));
            if let Some(i) = wrong {
                return Some(of("an integer product", dtype(i)));
            }
            let (a, b) = (operand(step, 0).shape, operand(step, 1).shape);
            let rows = a.len().checked_sub(2).map_or(1, |i| a[i]);
            let zeros = |i: usize| step.input(i).map_or(1, |z| z.shape.count());
            let fits = zeros(2) == 1 || (a.len() == 2 && zeros(2) == rows);
            let fits = b.len() >= 2 && fits && (zeros(3) == 1 || zeros(3) == b[b.len() - 1]);
            (!fits).then(|| "an integer product with zero points of other axes than rows and columns".into())
        }
        Op::LinearInt8 { .. } => {
            let is_complete = [3, 4].iter().all(|&i| dtype(i).is_some()) && dtype(1).is_some() == dtype(2).is_some();
            let is_x = if dtype(1).is_some() { is_int8(dtype(0)) } else { dtype(0) == Some(DType::F32) };
            (!is_complete || !is_x).then(|| of("an integer product", dtype(0)))
        }
        Op::QuantizeLinear { .. } => {
            let to = Some(step.outputs[0].dtype);
            if dtype(0) == Some(DType::F32) && is_int8(to) {
                return None;
            }
            Some(if is_int8(to) { of("quantisation", dtype(0)) } else { of("quantisation with a zero point", to) })
        }
        _ if is_int8(dtype(0)) || dtype(0) == Some(DType::I32) => None,
        _ => Some(of("dequantisation", dtype(0))),
    }
}

fn integers<'m>(view: &View, memory: &'m Memory) -> Int8<'m> {
    int8(view.dtype, memory.read(view))
}

/// The single zero point in `view`; 0 if absent.
fn zero_point(view: Option<&View>, memory: &Memory, i: usize) -> i32 {
    view.map(|view| memory.data(view)).filter(|zeros| i < zeros.len()).map_or(0, |zeros| zeros.integer(i) as i32)
}

fn zero_points(view: Option<&View>, memory: &Memory, out: &mut [i32]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = zero_point(view, memory, i);
    }
}

pub(super) fn matmul(step: &Step, memory: &Memory) {
    let (a, b, out) = (operand(step, 0), operand(step, 1), &step.outputs[0]);
    let stack = Stack::new(&a.shape, &b.shape, &out.shape);
    let Stack { m, n, k, .. } = stack;
    let packed = gemm_int8::packed_len(k, n);
    let (panels, zeros) = memory.write::<u8>(&step.scratch).split_at_mut(packed.next_multiple_of(16));
    let zeros: &mut [i32] = bytemuck::cast_slice_mut(zeros);
    let (a_zero, rest) = zeros.split_at_mut(zero_count(step.input(2)));
    let (b_zero, scratch) = rest.split_at_mut(zero_count(step.input(3)));
    zero_points(step.input(2), memory, a_zero);
    zero_points(step.input(3), memory, b_zero);
    let panels = &mut panels[..packed];
    let (x, y, result): (&[u8], &[u8], &mut [i32]) = (memory.read(a), memory.read(b), memory.write(out));
    for i in 0..stack.count() {
        let (at_a, at_b) = stack.pair(i);
        gemm_int8::pack_b(k, n, int8(b.dtype, &y[at_b * k * n..][..k * n]), n, 1, panels);
        let (x, result) = (int8(a.dtype, &x[at_a * m * k..][..m * k]), &mut result[i * m * n..][..m * n]);
        gemm_int8::gemm_i32(m, n, k, x, k, a_zero, panels, b_zero, result, n, scratch);
    }
}

pub(super) fn linear(activation: Activation, step: &Step, memory: &Memory) {
    let (x, out) = (operand(step, 0), &step.outputs[0]);
    let (k, n) = (x.shape[x.shape.len() - 1], out.shape[out.shape.len() - 1]);
    let m = out.shape.count().checked_div(n).unwrap_or(0);
    let scratch: &mut [i32] = bytemuck::cast_slice_mut(memory.write::<u8>(&step.scratch));
    let (bias, residual) = (optional(step, memory, 6), optional(step, memory, 7));
    let epilogue = Epilogue { bias, activation, residual, residual_stride: n, ..Epilogue::default() };
    let b_zero = step.input(5).map_or(&[][..], |z| memory.read::<i32>(z));
    let (panels, b_scale) = (memory.read(operand(step, 3)), memory.read(operand(step, 4)));
    let result = memory.write(out);
    let Some(a_scale) = optional(step, memory, 1) else {
        let x = memory.read(x);
        return gemm_int8::gemm_rows(m, n, k, x, k, panels, b_zero, b_scale, &epilogue, result, n, scratch);
    };
    let (a_zero, scratch) = scratch.split_at_mut(operand(step, 2).shape.count());
    zero_points(step.input(2), memory, a_zero);
    let x = integers(x, memory);
    gemm_int8::gemm_f32(m, n, k, x, k, a_zero, panels, b_zero, a_scale, b_scale, &epilogue, result, n, scratch);
}

/// Whether codes, scales and zero points, from operand `first` on, are as long as the kernel reads them.
pub(super) fn check_blocks(code: Code, block: usize, [k, n]: [usize; 2], first: usize, step: &Step) -> Option<String> {
    if cfg!(not(feature = "int4")) {
        return Some("weights in codes: fourlane-graph was built without its feature 'int4'".into());
    }
    // Signed codes are read as the bytes that they are; numbers may be halves.
    let length = |i: usize| {
        let view = step.input(first + i)?;
        Some((if view.dtype == DType::I8 { DType::U8 } else { view.dtype.runtime() }, view.shape.count()))
    };
    if !code.supports_block(k, block) {
        return Some(format!("blocks of {block} elements, which is not a power of two from 16 on"));
    }
    let (codes, scales) = (code.codes_len(n, k, block), code.scales_len(n, k, block));
    let fits = length(0) == Some((DType::U8, codes))
        && length(1) == Some((DType::F32, scales))
        && match length(2) {
            None => true,
            Some(_) if matches!(code, Code::Nf4 | Code::Fp4) => false,
            Some((DType::U8, bytes)) => bytes == code.zero_points_len(n, k, block),
            Some((dtype, count)) => dtype == DType::F32 && count == scales,
        };
    (!fits).then(|| {
        format!("codes, scales or zero points that are not those of a weight of {n} by {k} in blocks of {block}")
    })
}

pub(super) fn linear_blocks(
    activation: Activation,
    half: bool,
    code: Code,
    block: usize,
    [k, n]: [usize; 2],
    step: &Step,
    memory: &Memory,
) {
    if cfg!(not(feature = "int4")) {
        return; // see check_blocks
    }
    let (x, out) = (operand(step, 0), &step.outputs[0]);
    let m = out.shape.count().checked_div(n).unwrap_or(0);
    let weight = blocks(code, block, 1, step, memory);
    let (bias, residual) = (optional(step, memory, 4), optional(step, memory, 5));
    let epilogue = Epilogue { half, bias, activation, residual, residual_stride: n, ..Epilogue::default() };
    let scratch = memory.write(&step.scratch);
    let gemm = if memory.literal { gemm_blocks::gemm_literal } else { gemm_blocks::gemm };
    gemm(m, n, k, memory.read(x), k, &weight, memory.write(out), n, &epilogue, scratch);
}

/// Codes, scales and zero points from operand `first` on.
fn blocks<'m>(code: Code, block: usize, first: usize, step: &Step, memory: &'m Memory) -> Blocks<'m> {
    let numbers = |view: &View| match view.dtype {
        DType::F32 => Numbers::Single(memory.read(view)),
        dtype => Numbers::Half(halves(dtype, memory.read(view))),
    };
    let zero_points = match step.input(first + 2) {
        None => Zero::Implied,
        Some(view) if view.dtype.runtime() == DType::F32 => Zero::Floats(numbers(view)),
        Some(view) => Zero::Codes(memory.read(view)),
    };
    let (codes, scales) = (memory.read(operand(step, first)), numbers(operand(step, first + 1)));
    Blocks { code, block, codes, scales, zero_points }
}

pub(super) fn dequantize_blocks(code: Code, block: usize, k: usize, step: &Step, memory: &Memory) {
    if cfg!(not(feature = "int4")) {
        return; // see check_blocks
    }
    let rows = blocks(code, block, 0, step, memory);
    for (row, out) in memory.write::<f32>(&step.outputs[0]).chunks_exact_mut(k.max(1)).enumerate() {
        gemm_blocks::dequantize_row(&rows, k, row, out);
    }
}

pub(super) fn transpose_codes(code: Code, k: usize, n: usize, step: &Step, memory: &Memory) {
    let (from, to) = (memory.read::<u8>(operand(step, 0)), memory.write::<u8>(&step.outputs[0]));
    if code.has_bytes() {
        let size = code.codes_len(1, 1, 1);
        for (i, code) in from.chunks_exact(size).enumerate() {
            to[(i % n * k + i / n) * size..][..size].copy_from_slice(code);
        }
        return;
    }
    let (width, pitch) = (n / 2, k.div_ceil(2));
    // Two rows become a column of bytes.
    for (at, rows) in from.chunks(2 * width.max(1)).enumerate() {
        let (upper, lower) = rows.split_at(width);
        for (i, &a) in upper.iter().enumerate() {
            let b = lower.get(i).copied().unwrap_or(0);
            to[2 * i * pitch + at] = a & 15 | b << 4;
            to[(2 * i + 1) * pitch + at] = a >> 4 | b & 0xf0;
        }
    }
}

/// One range over the tensor or one per row: as many as there are scales.
pub(super) fn dynamic_quantize(step: &Step, memory: &Memory) {
    let [y, scale, zero] = &step.outputs[..] else { return };
    let (x, y): (&[f32], &mut [u8]) = (memory.read(operand(step, 0)), memory.write(y));
    let (scales, zeros) = (memory.write::<f32>(scale), memory.write::<u8>(zero));
    let width = (x.len() / scales.len().max(1)).max(1);
    for (i, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
        (scales[i], zeros[i]) = kernel::dynamic_quantize(x, y);
    }
}

/// Calls `f(range of elements, index of their scale)` for each run of elements with one scale.
fn for_each_scale(axis: i64, step: &Step, f: &mut dyn FnMut(Range<usize>, usize)) {
    let (shape, scales) = (step.outputs[0].shape, operand(step, 1).shape.count());
    if scales <= 1 {
        return f(0..shape.count(), 0);
    }
    let axis = normalize_axis(axis, shape.len()).unwrap_or(0);
    let inner: usize = shape[axis + 1..].iter().product();
    for run in 0..shape.count().checked_div(inner).unwrap_or(0) {
        f(run * inner..(run + 1) * inner, run % scales);
    }
}

pub(super) fn quantize(axis: i64, step: &Step, memory: &Memory) {
    let (x, out) = (memory.read::<f32>(operand(step, 0)), &step.outputs[0]);
    let (scales, zero) = (memory.read::<f32>(operand(step, 1)), step.input(2));
    let y = memory.bytes_mut(out);
    for_each_scale(axis, step, &mut |r, s| {
        let (x, scale, zero, y) = (&x[r.clone()], scales[s], zero_point(zero, memory, s), &mut y[r]);
        match out.dtype {
            DType::I8 => kernel::quantize_i8(x, scale, zero as i8, bytemuck::cast_slice_mut(y)),
            _ => kernel::quantize_u8(x, scale, zero as u8, y),
        }
    });
}

pub(super) fn dequantize(axis: i64, step: &Step, memory: &Memory) {
    let (x, y) = (memory.data(operand(step, 0)), memory.write::<f32>(&step.outputs[0]));
    let (scales, zero) = (memory.read::<f32>(operand(step, 1)), step.input(2));
    for_each_scale(axis, step, &mut |r, s| {
        let (scale, zero, y) = (scales[s], zero_point(zero, memory, s), &mut y[r.clone()]);
        match x {
            Data::I8(x) => kernel::dequantize_i8(&x[r], scale, zero as i8, y),
            Data::I32(x) => kernel::dequantize_i32(&x[r], scale, zero, y),
            Data::U8(x) => kernel::dequantize_u8(&x[r], scale, zero as u8, y),
            _ => {}
        }
    });
}
