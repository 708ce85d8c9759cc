//! Kernels at the shapes of DistilBERT. `cargo xtask bench`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fourlane_benches::{noise, packed};
use fourlane_kernels::gemm::{Epilogue, gemm};
use fourlane_kernels::gemm_int8::{self, Int8};
use fourlane_kernels::unary::{self, UnaryOp};
use fourlane_kernels::{layer_norm, quantize, softmax};

/// `m, n, k`: the four products of a layer at 128 tokens, and one row.
const SHAPES: [[usize; 3]; 4] = [[128, 768, 768], [128, 3072, 768], [128, 768, 3072], [1, 768, 768]];

fn gemm_f32(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm f32");
    for [m, n, k] in SHAPES {
        let (a, b) = (noise(m * k), packed(k, n, &noise(k * n)));
        let mut out = vec![0.0; m * n];
        // Elements are operations: criterion shows Gelem/s, that is GFLOP/s.
        group.throughput(Throughput::Elements((2 * m * n * k) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{m}x{n}x{k}")), |bench| {
            bench.iter(|| gemm(m, n, k, &a, k, &b, &mut out, n, &Epilogue::default()));
        });
    }
}

fn gemm_u8_i8(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm u8 x i8");
    for [m, n, k] in SHAPES {
        let a: Vec<u8> = (0..m * k).map(|i| (i * 31) as u8).collect();
        let b: Vec<i8> = (0..k * n).map(|i| (i * 17) as i8).collect();
        let mut panels = vec![0u128; gemm_int8::packed_len(k, n).div_ceil(16)];
        let panels: &mut [u8] = bytemuck::cast_slice_mut(&mut panels);
        let panels = &mut panels[..gemm_int8::packed_len(k, n)];
        gemm_int8::pack_b(k, n, Int8::I8(&b), n, 1, panels);
        let mut out = vec![0; m * n];
        let mut scratch = vec![0; gemm_int8::scratch_len(m, k)];
        group.throughput(Throughput::Elements((2 * m * n * k) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{m}x{n}x{k}")), |bench| {
            bench.iter(|| {
                gemm_int8::gemm_i32(m, n, k, Int8::U8(&a), k, &[128], panels, &[0], &mut out, n, &mut scratch);
            });
        });
    }
}

fn rows(c: &mut Criterion) {
    let (rows, cols) = (128, 768);
    let x = noise(rows * cols);
    let mut out = x.clone();
    let mut group = c.benchmark_group("128 x 768");
    group.throughput(Throughput::Elements((rows * cols) as u64));
    group.bench_function("layer norm", |bench| {
        bench.iter(|| layer_norm::layer_norm(&x, &mut out, rows, cols, Some(&x[..cols]), Some(&x[..cols]), 1e-12));
    });
    group.bench_function("softmax", |bench| {
        bench.iter(|| {
            out.copy_from_slice(&x);
            softmax::softmax(&mut out, rows, cols);
        });
    });
    for op in [UnaryOp::Gelu, UnaryOp::GeluTanh, UnaryOp::Exp, UnaryOp::Tanh, UnaryOp::Erf] {
        group.bench_function(format!("{op:?}"), |bench| {
            bench.iter(|| {
                out.copy_from_slice(&x);
                unary::apply(op, &mut out);
            });
        });
    }
    let mut bytes = vec![0; rows * cols];
    group.bench_function("dynamic quantisation", |bench| {
        bench.iter(|| quantize::dynamic_quantize(&x, &mut bytes));
    });
}

criterion_group!(benches, gemm_f32, gemm_u8_i8, rows);
criterion_main!(benches);
