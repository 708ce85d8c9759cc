//! The oracle of every kernel: the definition, written naively, in `f64` where the kernel computes in `f32`.
//!
//! Slow on purpose and public only so that tests of other crates may lean on it. Results are new contiguous vectors.

#![allow(missing_docs)]

use crate::Activation;
use crate::attention::{Mask, Rows, Shape};
use crate::binary::BinaryOp;
use crate::gemm::Epilogue;
use crate::gemm_blocks::{Blocks, Code, Numbers, Zero};
use crate::gemm_half::Halves;
use crate::gemm_int8::Int8;
use crate::reduce::ReduceOp;
use crate::unary::UnaryOp;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

/// `2 / sqrt(pi) * integral of exp(-t^2) over 0..x`, to about 1e-15.
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a < 3.0 {
        // All terms have one sign, so nothing cancels: exp(-x^2) * sum of 2^i x^(2i+1) / (1 * 3 * 5 ... (2i+1)).
        let (mut term, mut sum) = (x, x);
        let mut odd = 1.0;
        while term.abs() > 1e-18 * sum.abs() {
            odd += 2.0;
            term *= 2.0 * x * x / odd;
            sum += term;
        }
        FRAC_2_SQRT_PI * (-x * x).exp() * sum
    } else if a < 7.0 {
        // The continued fraction of erfc, from its far end.
        let tail = (1..=60).rev().fold(a, |tail, i| a + i as f64 / 2.0 / tail);
        (1.0 - (-a * a).exp() / (PI.sqrt() * tail)).copysign(x)
    } else if x.is_nan() {
        x
    } else {
        1f64.copysign(x)
    }
}

pub fn activation(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu if x < 0.0 => 0.0,
        Activation::Relu => x,
        // The limits at minus infinity, where the formulas say 0 * infinity.
        Activation::Gelu | Activation::GeluHalf | Activation::GeluTanh if x == f64::NEG_INFINITY => 0.0,
        Activation::Gelu => x / 2.0 * (1.0 + erf(x * FRAC_1_SQRT_2)),
        Activation::GeluHalf => x / 2.0 * (1.0 + erf(x / 1.4140625)),
        Activation::GeluTanh => x / 2.0 * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()),
        Activation::Tanh => x.tanh(),
    }
}

pub fn unary(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Abs => x.abs(),
        UnaryOp::Neg => -x,
        UnaryOp::Sign if x == 0.0 || x.is_nan() => x,
        UnaryOp::Sign => x.signum(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Reciprocal => 1.0 / x,
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Erf => erf(x),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        UnaryOp::Relu => activation(Activation::Relu, x),
        UnaryOp::Gelu => activation(Activation::Gelu, x),
        UnaryOp::GeluHalf => activation(Activation::GeluHalf, x),
        UnaryOp::GeluTanh => activation(Activation::GeluTanh, x),
        UnaryOp::Half if x == 0.0 || !x.is_finite() => x,
        UnaryOp::Half => {
            let exponent = ((x.to_bits() >> 52) as i32 & 0x7ff) - 1023;
            let unit = 2f64.powi(exponent.max(-126) - 10);
            (x / unit).round_ties_even() * unit
        }
    }
}

/// Element `(r, c)` of B is `b[r * row_stride + c * col_stride]`.
pub fn gemm(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_stride: usize,
    b: &[f32],
    row_stride: usize,
    col_stride: usize,
    epilogue: &Epilogue,
) -> Vec<f32> {
    cells(m, n, |i, j| {
        let product = |l| a[i * a_stride + l] as f64 * b[l * row_stride + j * col_stride] as f64;
        let sum: f64 = (0..k).map(product).sum();
        finish(epilogue, i, j, sum)
    })
}

/// The number that an IEEE half with these bits is.
pub fn f16_to_f32(bits: u16) -> f32 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match bits >> 10 & 31 {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + fraction) * 2f64.powi(i32::from(exponent) - 25),
    };
    (if bits >> 15 == 1 { -magnitude } else { magnitude }) as f32
}

/// The number that a bfloat16 with these bits is.
pub fn bf16_to_f32(bits: u16) -> f32 {
    let fraction = f64::from(bits & 0x7f);
    let magnitude = match bits >> 7 & 255 {
        0 => fraction * 2f64.powi(-133),
        255 if fraction == 0.0 => f64::INFINITY,
        255 => f64::NAN,
        exponent => (128.0 + fraction) * 2f64.powi(i32::from(exponent) - 134),
    };
    (if bits >> 15 == 1 { -magnitude } else { magnitude }) as f32
}

/// The matrix `[n, k]`.
pub fn dequantize_blocks(b: &Blocks, n: usize, k: usize) -> Vec<f32> {
    let blocks = k.div_ceil(b.block);
    let numbers = |numbers: Numbers, i: usize| match numbers {
        Numbers::Single(numbers) => numbers[i],
        Numbers::Half(Halves::F16(bits)) => f16_to_f32(bits[i]),
        Numbers::Half(Halves::Bf16(bits)) => bf16_to_f32(bits[i]),
    };
    cells(n, k, |j, l| {
        let block = j * blocks + l / b.block;
        let flat = j * k + l;
        let table = |levels: [f64; 16]| {
            let byte = b.codes[flat / 2];
            let code = if flat.is_multiple_of(2) { byte / 16 } else { byte % 16 };
            levels[usize::from(code)] as f32 * numbers(b.scales, flat / b.block)
        };
        let integer = |bits: usize, signed: bool| {
            let range = (1 << bits) as f32;
            let number = |bytes: &[u8], i| match number(bytes, bits, i) {
                x if signed && x >= range / 2.0 => x - range,
                x => x,
            };
            let zero = match b.zero_points {
                Zero::Implied => {
                    if signed {
                        0.0
                    } else {
                        range / 2.0
                    }
                }
                Zero::Codes(zeros) => number(&zeros[j * (blocks * bits).div_ceil(8)..], l / b.block),
                Zero::Floats(zeros) => numbers(zeros, block),
            };
            // Rows are whole bytes.
            let row = &b.codes[j * (blocks * b.block * bits).div_ceil(8)..];
            (number(row, l) - zero) * numbers(b.scales, block)
        };
        match b.code {
            Code::Nf4 => table(NF4),
            Code::Fp4 => table(FP4.map(|level| level / 12.0)),
            Code::Uint2 => integer(2, false),
            Code::Uint4 => integer(4, false),
            Code::Uint8 => integer(8, false),
            Code::Int4 => integer(4, true),
            Code::Int8 => integer(8, true),
            Code::Uint16 => integer(16, false),
            Code::Int16 => integer(16, true),
        }
    })
}

/// Number `i` in a string of bits, low bits first.
fn number(bytes: &[u8], bits: usize, i: usize) -> f32 {
    let bit = |at: usize| u32::from(bytes[at / 8] >> (at % 8) & 1);
    (0..bits).map(|t| bit(i * bits + t) << t).sum::<u32>() as f32
}

const NF4: [f64; 16] = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
];

/// Twelve times the level: a sign, two bits of exponent and one of fraction, in the order of `bitsandbytes`.
const FP4: [f64; 16] = [0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0, -0.0, -0.0625, -8.0, -12.0, -4.0, -6.0, -2.0, -3.0];

fn finish(epilogue: &Epilogue, i: usize, j: usize, x: f64) -> f32 {
    let x = epilogue.alpha as f64 * x;
    let x = if epilogue.half { unary(UnaryOp::Half, x) } else { x };
    let x = x + epilogue.bias.map_or(0.0, |bias| bias[j] as f64);
    let residual = epilogue.residual.map_or(0.0, |residual| residual[i * epilogue.residual_stride + j] as f64);
    (activation(epilogue.activation, x) + residual) as f32
}

fn cells<T>(rows: usize, cols: usize, cell: impl Fn(usize, usize) -> T) -> Vec<T> {
    let cell = &cell;
    (0..rows).flat_map(|i| (0..cols).map(move |j| cell(i, j))).collect()
}

/// `values[i]`, or the only value there is, or `none` if there is none.
fn at<T: Copy>(values: &[T], i: usize, none: T) -> T {
    match values {
        [] => none,
        [only] => *only,
        many => many[i],
    }
}

fn int8_at(data: Int8, i: usize) -> i32 {
    match data {
        Int8::U8(data) => data[i].into(),
        Int8::I8(data) => data[i].into(),
    }
}

pub fn gemm_i32(
    m: usize,
    n: usize,
    k: usize,
    a: Int8,
    a_stride: usize,
    a_zero: &[i32],
    b: Int8,
    row_stride: usize,
    col_stride: usize,
    b_zero: &[i32],
) -> Vec<i32> {
    cells(m, n, |i, j| {
        (0..k).fold(0i32, |sum, l| {
            let a = int8_at(a, i * a_stride + l).wrapping_sub(at(a_zero, i, 0));
            let b = int8_at(b, l * row_stride + j * col_stride).wrapping_sub(at(b_zero, j, 0));
            sum.wrapping_add(a.wrapping_mul(b))
        })
    })
}

/// The separate operators that follow an integer GEMM in a graph, in `f32` as the graph has them.
pub fn gemm_int8_f32(
    m: usize,
    n: usize,
    acc: &[i32],
    a_scale: &[f32],
    b_scale: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    cells(m, n, |i, j| {
        let scale = at(a_scale, i, 1.0) * at(b_scale, j, 1.0);
        let x = acc[i * n + j] as f32 * scale;
        bias.map_or(x, |bias| x + bias[j])
    })
}

/// In place; a row of minus infinities becomes zeros.
pub fn softmax(x: &mut [f32], rows: usize, cols: usize) {
    for i in 0..rows {
        let row = &mut x[i * cols..(i + 1) * cols];
        let out = softmax_row(&row.iter().map(|&x| x as f64).collect::<Vec<_>>());
        row.iter_mut().zip(out).for_each(|(x, y)| *x = y as f32);
    }
}

fn softmax_row(x: &[f64]) -> Vec<f64> {
    let max = x.iter().fold(f64::NEG_INFINITY, |max, &x| if x > max || x.is_nan() { x } else { max });
    if max == f64::NEG_INFINITY {
        return vec![0.0; x.len()];
    }
    let sum: f64 = x.iter().map(|x| (x - max).exp()).sum();
    x.iter().map(|x| (x - max).exp() / sum).collect()
}

pub fn attention(shape: &Shape, q: Rows, k: Rows, v: Rows, mask: Option<Mask>) -> Vec<f32> {
    let mut out = Vec::new();
    for i in 0..shape.seq_q {
        // The sum of score and mask rounds as f32 does, so that a mask of f32::MIN swallows the score.
        let score = |j: usize| {
            let product = |l| q.data[i * q.stride + l] as f64 * k.data[j * k.stride + l] as f64;
            let score = (shape.scale as f64 * (0..shape.head_dim).map(product).sum::<f64>()) as f32;
            (score + mask.map_or(0.0, |mask| mask.data[i * mask.row_stride + if mask.one_each { 0 } else { j }])) as f64
        };
        let p = softmax_row(&(0..shape.seq_k).map(score).collect::<Vec<_>>());
        for l in 0..shape.v_dim {
            out.push((0..shape.seq_k).map(|j| p[j] * v.data[j * v.stride + l] as f64).sum::<f64>() as f32);
        }
    }
    out
}

pub fn layer_norm(
    x: &[f32],
    rows: usize,
    cols: usize,
    scale: Option<&[f32]>,
    bias: Option<&[f32]>,
    epsilon: f32,
) -> Vec<f32> {
    cells(rows, cols, |i, j| {
        let row = || x[i * cols..(i + 1) * cols].iter().map(|&x| x as f64);
        let mean = row().sum::<f64>() / cols as f64;
        let variance = row().map(|x| (x - mean) * (x - mean)).sum::<f64>() / cols as f64;
        let y = (x[i * cols + j] as f64 - mean) / (variance + epsilon as f64).sqrt();
        (y * scale.map_or(1.0, |s| s[j] as f64) + bias.map_or(0.0, |b| b[j] as f64)) as f32
    })
}

pub fn binary(op: BinaryOp, a: f32, b: f32) -> f32 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Pow => (a as f64).powf(b as f64) as f32,
        BinaryOp::Min | BinaryOp::Max if a.is_nan() => a,
        BinaryOp::Min | BinaryOp::Max if b.is_nan() => b,
        BinaryOp::Min => a.min(b),
        BinaryOp::Max => a.max(b),
    }
}

/// The multi-indices of `shape` in row-major order.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |prefixes, &dim| {
        let extend = |prefix: &Vec<usize>| (0..dim).map(|i| [prefix.as_slice(), &[i]].concat()).collect::<Vec<_>>();
        prefixes.iter().flat_map(extend).collect()
    })
}

fn offset(index: &[usize], strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(i, stride)| i * stride).sum()
}

pub fn broadcast(
    op: BinaryOp,
    shape: &[usize],
    a: &[f32],
    a_strides: &[usize],
    b: &[f32],
    b_strides: &[usize],
) -> Vec<f32> {
    let cell = |index: &Vec<usize>| binary(op, a[offset(index, a_strides)], b[offset(index, b_strides)]);
    indices(shape).iter().map(cell).collect()
}

/// `src[0]` is the lowest element of the view: a negative stride starts at its far end.
pub fn strided_copy<T: Copy>(shape: &[usize], src: &[T], strides: &[isize]) -> Vec<T> {
    let element = |index: &Vec<usize>| {
        let along = |axis: usize| match strides[axis] {
            stride if stride < 0 => (shape[axis] - 1 - index[axis]) * stride.unsigned_abs(),
            stride => index[axis] * stride as usize,
        };
        src[(0..shape.len()).map(along).sum::<usize>()]
    };
    indices(shape).iter().map(element).collect()
}

pub fn reduce(op: ReduceOp, outer: usize, len: usize, inner: usize, x: &[f32]) -> Vec<f32> {
    cells(outer, inner, |i, j| {
        let line = (0..len).map(|l| x[(i * len + l) * inner + j]);
        match op {
            ReduceOp::Sum => line.map(f64::from).sum::<f64>() as f32,
            ReduceOp::Mean => (line.map(f64::from).sum::<f64>() / len as f64) as f32,
            ReduceOp::Max => line.fold(f32::NEG_INFINITY, |a, b| binary(BinaryOp::Max, a, b)),
            ReduceOp::Min => line.fold(f32::INFINITY, |a, b| binary(BinaryOp::Min, a, b)),
        }
    })
}

/// ONNX `QuantizeLinear` of one number into `low..=high`; NaN gives `low`.
pub fn quantize(x: f32, scale: f32, zero_point: i32, low: i32, high: i32) -> i32 {
    let y = (x / scale).round_ties_even() + zero_point as f32;
    // By name: with relaxed SIMD, LLVM makes of `max` an instruction that may keep NaN.
    if y.is_nan() { low } else { y.max(low as f32).min(high as f32) as i32 }
}

/// ONNX `DynamicQuantizeLinear`, where `high` is 255: the bytes, the scale and the zero point.
pub fn dynamic_quantize(x: &[f32], high: u8) -> (Vec<u8>, f32, u8) {
    let (min, max) = x.iter().fold((0f32, 0f32), |(min, max), &x| (min.min(x), max.max(x)));
    let scale = if min == max { 1.0 } else { (max - min) / f32::from(high) };
    let zero_point = (-min / scale).round_ties_even().min(high.into()) as u8;
    (x.iter().map(|&x| quantize(x, scale, zero_point.into(), 0, high.into()) as u8).collect(), scale, zero_point)
}
