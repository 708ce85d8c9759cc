//! All kernels but the products, on 128 tokens of DistilBERT, as bytes read and written. `cargo xtask bench kernels`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fourlane_benches::noise;
use fourlane_kernels::binary::{self, BinaryOp};
use fourlane_kernels::gemm_half::{self, Halves};
use fourlane_kernels::gemm_int8::{self, Int8};
use fourlane_kernels::reduce::{self, ReduceOp};
use fourlane_kernels::unary::{self, UnaryOp};
use fourlane_kernels::{gather, gemm, layer_norm, quantize, softmax, strided};

const ROWS: usize = 128;
const COLS: usize = 768;
const COUNT: usize = ROWS * COLS;

const UNARY: [UnaryOp; 17] = [
    UnaryOp::Abs,
    UnaryOp::Neg,
    UnaryOp::Sign,
    UnaryOp::Ceil,
    UnaryOp::Floor,
    UnaryOp::Sqrt,
    UnaryOp::Reciprocal,
    UnaryOp::Exp,
    UnaryOp::Log,
    UnaryOp::Sin,
    UnaryOp::Cos,
    UnaryOp::Erf,
    UnaryOp::Tanh,
    UnaryOp::Sigmoid,
    UnaryOp::Relu,
    UnaryOp::Gelu,
    UnaryOp::GeluTanh,
];

const BINARY: [BinaryOp; 7] =
    [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Pow, BinaryOp::Min, BinaryOp::Max];

fn bytes(floats: usize) -> Throughput {
    Throughput::BytesDecimal((4 * floats) as u64)
}

/// In place, on a copy: the copy is part of the time.
fn in_place(c: &mut Criterion) {
    let x = noise(COUNT);
    let mut out = x.clone();
    let mut group = c.benchmark_group("in place");
    group.throughput(bytes(2 * COUNT));
    group.bench_function("copy alone", |bench| bench.iter(|| out.copy_from_slice(&x)));
    for op in UNARY {
        group.bench_function(format!("{op:?}"), |bench| {
            bench.iter(|| {
                out.copy_from_slice(&x);
                unary::apply(op, &mut out);
            });
        });
    }
    group.bench_function("softmax", |bench| {
        bench.iter(|| {
            out.copy_from_slice(&x);
            softmax::softmax(&mut out, ROWS, COLS);
        });
    });
}

fn rows(c: &mut Criterion) {
    let x = noise(COUNT);
    let mut out = x.clone();
    let (scale, bias) = (noise(COLS), noise(COLS));
    let mut group = c.benchmark_group("rows");
    group.throughput(bytes(2 * COUNT));
    group.bench_function("layer norm", |bench| {
        bench.iter(|| layer_norm::layer_norm(&x, &mut out, ROWS, COLS, Some(&scale), Some(&bias), 1e-12));
    });
    for op in [ReduceOp::Mean, ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min] {
        group.bench_function(format!("{op:?}, last axis"), |bench| {
            bench.iter(|| reduce::reduce(op, ROWS, COLS, 1, &x, &mut out[..ROWS]));
        });
        group.bench_function(format!("{op:?}, first axis"), |bench| {
            bench.iter(|| reduce::reduce(op, 1, ROWS, COLS, &x, &mut out[..COLS]));
        });
    }
}

fn broadcast(c: &mut Criterion) {
    let (a, b) = (noise(COUNT), noise(COUNT).into_iter().map(|x| x.abs() + 0.5).collect::<Vec<_>>());
    let mut out = a.clone();
    let mut group = c.benchmark_group("broadcast");
    group.throughput(bytes(3 * COUNT));
    for op in BINARY {
        for (what, strides) in [("matrix", [COLS, 1]), ("row", [0, 1]), ("column", [1, 0]), ("scalar", [0, 0])] {
            group.bench_function(format!("{op:?}, {what}"), |bench| {
                bench.iter(|| binary::broadcast(op, &[ROWS, COLS], &a, &[COLS, 1], &b, &strides, &mut out));
            });
        }
    }
}

fn movement(c: &mut Criterion) {
    let x = noise(COUNT);
    let mut out = x.clone();
    let mut group = c.benchmark_group("movement");
    group.throughput(bytes(2 * COUNT));
    group.bench_function("transpose", |bench| {
        bench.iter(|| strided::copy(&[COLS, ROWS], &x, &[1, COLS as isize], &mut out));
    });
    group.bench_function("heads to the front", |bench| {
        let strides = [64, COLS as isize, 1];
        bench.iter(|| strided::copy(&[12, ROWS, 64], &x, &strides, &mut out));
    });
    let ids: Vec<i64> = (0..ROWS as i64).map(|i| i * 37 % ROWS as i64).collect();
    group.bench_function("gather rows", |bench| bench.iter(|| gather::rows(&x, COLS, &ids, &mut out)));
}

fn quantisation(c: &mut Criterion) {
    let x = noise(COUNT);
    let (mut out, mut u8s, mut i8s) = (x.clone(), vec![0u8; COUNT], vec![0i8; COUNT]);
    let i32s: Vec<i32> = (0..COUNT as i32).collect();
    let mut group = c.benchmark_group("quantisation");
    group.throughput(Throughput::BytesDecimal(5 * COUNT as u64));
    group.bench_function("dynamic", |bench| bench.iter(|| quantize::dynamic_quantize(&x, &mut u8s)));
    group.bench_function("to u8", |bench| bench.iter(|| quantize::quantize_u8(&x, 0.01, 128, &mut u8s)));
    group.bench_function("to i8", |bench| bench.iter(|| quantize::quantize_i8(&x, 0.01, 0, &mut i8s)));
    group.bench_function("from u8", |bench| bench.iter(|| quantize::dequantize_u8(&u8s, 0.01, 128, &mut out)));
    group.bench_function("from i8", |bench| bench.iter(|| quantize::dequantize_i8(&i8s, 0.01, 0, &mut out)));
    group.throughput(bytes(2 * COUNT));
    group.bench_function("from i32", |bench| bench.iter(|| quantize::dequantize_i32(&i32s, 0.01, 0, &mut out)));
}

/// What happens to a weight when a model is loaded.
fn packing(c: &mut Criterion) {
    let (k, n) = (768, 3072);
    let mut group = c.benchmark_group("packing");
    let b = noise(k * n);
    let mut panels = vec![0.0; gemm::packed_len(k, n)];
    group.throughput(bytes(2 * k * n));
    group.bench_function("f32", |bench| bench.iter(|| gemm::pack_b(k, n, &b, n, 1, &mut panels)));
    group.bench_function("f32, transposed", |bench| bench.iter(|| gemm::pack_b(k, n, &b, 1, k, &mut panels)));
    let halves = vec![0x3c00u16; k * n];
    let mut panels = vec![0; gemm_half::packed_len(k, n)];
    group.throughput(Throughput::BytesDecimal((4 * k * n) as u64));
    group.bench_function("f16", |bench| bench.iter(|| gemm_half::pack_b(k, n, &halves, n, 1, &mut panels)));
    let codes: Vec<i8> = (0..k * n).map(|i| (i * 17) as i8).collect();
    let mut panels = vec![0; gemm_int8::packed_len(k, n)];
    group.throughput(Throughput::BytesDecimal((2 * k * n) as u64));
    group.bench_function("i8", |bench| {
        bench.iter(|| gemm_int8::pack_b(k, n, Int8::I8(&codes), n, 1, &mut panels));
    });
    let halves = vec![0x3c00u16; k * n];
    let mut floats = vec![0.0; k * n];
    group.throughput(Throughput::BytesDecimal((6 * k * n) as u64));
    group.bench_function("f16 to f32", |bench| bench.iter(|| gemm_half::to_f32(Halves::F16(&halves), &mut floats)));
}

criterion_group!(benches, in_place, rows, broadcast, movement, quantisation, packing);
criterion_main!(benches);
