//! Products of matrices at the shapes of DistilBERT, each as a fraction of what the machine can do.
//! `cargo xtask bench [--wasmtime | --v8] gemm`.

mod measure;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fourlane_benches::{noise, packed};
use fourlane_kernels::Activation;
use fourlane_kernels::attention::{self, Rows, Shape};
use fourlane_kernels::gemm::{Epilogue, gemm};
use fourlane_kernels::gemm_blocks::{self, Blocks, Code, Numbers, Zero};
use fourlane_kernels::gemm_half::{self, Halves};
use fourlane_kernels::gemm_int8::{self, Accuracy, Int8, Mode, Packing};
use measure::OfPeak;

/// `m, n, k`: the products of a layer at 128 and 16 tokens, and of one row.
const SHAPES: [[usize; 3]; 7] = [
    [128, 768, 768],
    [128, 3072, 768],
    [128, 768, 3072],
    [16, 768, 768],
    [16, 3072, 768],
    [16, 768, 3072],
    [1, 768, 768],
];

fn operations([m, n, k]: [usize; 3]) -> Throughput {
    Throughput::Elements((2 * m * n * k) as u64)
}

fn name([m, n, k]: [usize; 3]) -> BenchmarkId {
    BenchmarkId::from_parameter(format!("{m}x{n}x{k}"))
}

fn gemm_f32(c: &mut Criterion<OfPeak>) {
    let mut group = c.benchmark_group("gemm f32");
    for shape @ [m, n, k] in SHAPES {
        let (a, b) = (noise(m * k), packed(k, n, &noise(k * n)));
        let mut out = vec![0.0; m * n];
        group.throughput(operations(shape));
        group.bench_function(name(shape), |bench| {
            bench.iter(|| gemm(m, n, k, &a, k, &b, &mut out, n, &Epilogue::default()));
        });
    }
}

/// As a layer uses it: bias and GELU, or bias and residual, at the store.
fn gemm_fused(c: &mut Criterion<OfPeak>) {
    let mut group = c.benchmark_group("gemm f32 fused");
    for (what, activation, shape) in
        [("bias, GELU", Activation::Gelu, [128, 3072, 768]), ("bias, residual", Activation::None, [128, 768, 3072])]
    {
        let [m, n, k] = shape;
        let (a, b, other) = (noise(m * k), packed(k, n, &noise(k * n)), noise(m * n));
        let mut out = vec![0.0; m * n];
        let residual = (activation == Activation::None).then_some(&other[..]);
        let bias = Some(&other[..n]);
        let epilogue = Epilogue { bias, activation, residual, residual_stride: n, ..Epilogue::default() };
        group.throughput(operations(shape));
        group.bench_function(BenchmarkId::new(what, format!("{m}x{n}x{k}")), |bench| {
            bench.iter(|| gemm(m, n, k, &a, k, &b, &mut out, n, &epilogue));
        });
    }
}

fn gemm_halves(c: &mut Criterion<OfPeak>) {
    let mut group = c.benchmark_group("gemm f16 weights");
    for shape @ [m, n, k] in SHAPES {
        let a = noise(m * k);
        let halves: Vec<u16> = noise(k * n).into_iter().map(|x| half::f16::from_f32(x).to_bits()).collect();
        let mut b = vec![0; gemm_half::packed_len(k, n)];
        gemm_half::pack_b(k, n, &halves, n, 1, &mut b);
        let (mut out, mut scratch) = (vec![0.0; m * n], vec![0.0; gemm_half::scratch_len(k)]);
        group.throughput(operations(shape));
        group.bench_function(name(shape), |bench| {
            bench.iter(|| {
                gemm_half::gemm(m, n, k, &a, k, Halves::F16(&b), &mut out, n, &Epilogue::default(), &mut scratch)
            });
        });
    }
}

fn gemm_4_bits(c: &mut Criterion<OfPeak>) {
    let (code, block) = (Code::Uint4, 32);
    let mut group = c.benchmark_group("gemm 4-bit weights");
    for shape @ [m, n, k] in SHAPES {
        let a = noise(m * k);
        let codes: Vec<u8> = (0..code.codes_len(n, k, block)).map(|i| (i * 151) as u8).collect();
        let scales = noise(code.scales_len(n, k, block));
        let b = Blocks { code, block, codes: &codes, scales: Numbers::Single(&scales), zero_points: Zero::Implied };
        let (mut out, mut scratch) = (vec![0.0; m * n], vec![0.0; gemm_blocks::scratch_len(k)]);
        group.throughput(operations(shape));
        group.bench_function(name(shape), |bench| {
            bench.iter(|| gemm_blocks::gemm(m, n, k, &a, k, &b, &mut out, n, &Epilogue::default(), &mut scratch));
        });
    }
}

/// All twelve heads.
fn heads(c: &mut Criterion<OfPeak>) {
    let (heads, head_dim) = (12, 64);
    let hidden = heads * head_dim;
    let mut group = c.benchmark_group("attention");
    for seq in [16, 128, 512] {
        let (q, k, v) = (noise(seq * hidden), noise(seq * hidden), noise(seq * hidden));
        let shape = Shape { seq_q: seq, seq_k: seq, head_dim, v_dim: head_dim, scale: 0.125 };
        let (mut out, mut scratch) = (vec![0.0; seq * hidden], vec![0.0; attention::scratch_len(&shape)]);
        group.throughput(Throughput::Elements((4 * seq * seq * hidden) as u64));
        group.bench_function(BenchmarkId::new("tokens", seq), |bench| {
            bench.iter(|| {
                for head in (0..hidden).step_by(head_dim) {
                    let [q, k, v] = [&q, &k, &v].map(|x| Rows { data: &x[head..], stride: hidden });
                    attention::attention(&shape, q, k, v, None, &mut out[head..], hidden, &mut scratch);
                }
            });
        });
    }
}

/// Rows of floats, quantised on the way, by 8-bit weights: as a session multiplies, in the engine's fastest mode.
fn products_of_integers(c: &mut Criterion<OfPeak>) {
    // Quantisers with `reduce_range` leave a bit of the weights unused, which some engines can make use of.
    for (what, bits, accuracy) in
        [("8 bits", 8, Accuracy::Exact), ("7 bits", 7, Accuracy::Exact), ("8 bits, fast", 8, Accuracy::Fast)]
    {
        let mut group = c.benchmark_group(format!("gemm int8, {what}"));
        for shape @ [m, n, k] in SHAPES {
            let a = noise(m * k);
            // Bell-shaped, as weights are: the largest of a column uses all bits.
            let levels = ((1 << (bits - 1)) - 1) as f32;
            let sums = noise(k * n).into_iter().zip(noise(k * n + 7).into_iter().skip(7)).map(|(a, b)| (a + b) / 2.0);
            let b: Vec<i8> = sums.map(|x| (x * levels) as i8).collect();
            let packing = Packing::fastest(Mode::best(), accuracy, k, n, Int8::I8(&b), n, 1);
            let mut panels = vec![0u128; packing.len().div_ceil(16)];
            let panels = &mut bytemuck::cast_slice_mut(&mut panels)[..packing.len()];
            packing.pack(Int8::I8(&b), n, 1, panels);
            let (mut out, mut scratch) = (vec![0.0; m * n], vec![0; gemm_int8::scratch_len(m, k)]);
            group.throughput(operations(shape));
            group.bench_function(name(shape), |bench| {
                bench.iter(|| {
                    let epilogue = Epilogue::default();
                    gemm_int8::gemm_rows(m, n, k, &a, k, panels, &[0], &[0.01], &epilogue, &mut out, n, &mut scratch);
                });
            });
        }
    }
}

criterion_group! {
    name = floats;
    config = measure::floats();
    targets = gemm_f32, gemm_fused, gemm_halves, gemm_4_bits, heads
}
criterion_group! {
    name = integers;
    config = measure::integers();
    targets = products_of_integers
}
criterion_main!(floats, integers);
