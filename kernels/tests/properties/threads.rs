//! The same bits from pools of one to four threads as from one thread that is in no pool.

use crate::{Noise, config};
use fourlane_kernels::attention::{self, Mask, Rows, Shape};
use fourlane_kernels::binary::{self, BinaryOp};
use fourlane_kernels::gemm::{self, Epilogue};
use fourlane_kernels::gemm_blocks::{self, Blocks, Code, Numbers, Zero};
use fourlane_kernels::gemm_int8::{self, Accuracy, Int8, Mode, Packing};
use fourlane_kernels::unary::{self, UnaryOp};
use fourlane_kernels::{Activation, gemm_half, gemm_heads, layer_norm, softmax, threads};
use proptest::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex};

static POOLS: LazyLock<Vec<ThreadPool>> = LazyLock::new(|| {
    (1..=4).map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")).collect()
});

/// Calls `f` here and in every pool, with a scratch of this many elements, and compares what it writes to its output.
fn check<S: Copy + Send + Sync, T: Copy + Send + Sync + PartialEq>(
    (len, untouched): (usize, T),
    (scratch, fill): (&(dyn Fn() -> usize + Sync), S),
    f: impl Fn(&mut [T], &mut [S]) + Sync,
) {
    let run = |scratch: usize| {
        let mut out = vec![untouched; len];
        f(&mut out, &mut vec![fill; scratch]);
        out
    };
    let least = scratch();
    let expected = run(least);
    for pool in &*POOLS {
        let (full, with_least) = pool.install(|| (run(scratch()), run(least)));
        assert!(full == expected, "{} threads", pool.current_num_threads());
        assert!(with_least == expected, "{} threads, scratch of one", pool.current_num_threads());
    }
}

/// Floats whose bits are compared.
fn check_floats(len: usize, scratch: &(dyn Fn() -> usize + Sync), f: impl Fn(&mut [f32], &mut [f32]) + Sync) {
    check((len, f32::NAN.to_bits()), (scratch, f32::NAN), |out, scratch| f(bytemuck::cast_slice_mut(out), scratch));
}

/// `m, n, k` of a product that is worth sharing, with rows and columns that do not divide evenly.
fn dims() -> impl Strategy<Value = (usize, usize, usize)> {
    (1..=140usize, 33..=300usize, 1..=300usize)
        .prop_map(|(m, n, k)| (m, n, k.max((1usize << 19).div_ceil(m * n).min(2000))))
}

#[test]
fn work_is_shared() {
    assert_eq!(threads(), 1);
    let seen = Mutex::new(HashSet::new());
    let pool = &POOLS[2];
    assert_eq!(pool.install(threads), 3);
    let shape = Shape { seq_q: 64, seq_k: 64, head_dim: 32, v_dim: 32, scale: 0.2 };
    let x = vec![0.5; 64 * 32 * 12];
    // Which thread comes first is a matter of luck.
    for _ in 0..1000 {
        pool.install(|| {
            let rows = Rows { data: &x, stride: 32 * 12 };
            let (mut out, mut scratch) = (vec![0.0; x.len()], vec![0.0; attention::scratch_len(&shape)]);
            let mask = |_| {
                seen.lock().expect("no panic").insert(rayon::current_thread_index());
                None
            };
            attention::heads(&shape, 12, rows, rows, rows, &mask, &mut out, 32 * 12, &mut scratch);
        });
        if seen.lock().expect("no panic").len() == 3 {
            return;
        }
    }
    panic!("only {:?} took part", seen.lock());
}

proptest! {
    #![proptest_config(config(20))]

    #[test]
    fn gemm_f32((m, n, k) in dims(), slack in 0..5usize, seed: u64) {
        let mut noise = Noise::new(seed);
        let (a, b, bias) = (noise.floats(m * (k + slack)), noise.floats(k * n), noise.floats(n));
        let residual = noise.floats(m * n);
        let mut packed = vec![0.0; gemm::packed_len(k, n)];
        gemm::pack_b(k, n, &b, n, 1, &mut packed);
        let epilogue = Epilogue {
            alpha: 0.5, bias: Some(&bias), activation: Activation::Gelu, residual: Some(&residual), residual_stride: n,
            ..Epilogue::default()
        };
        check_floats(m * (n + slack), &|| 0, |c, _| {
            gemm::gemm(m, n, k, &a, k + slack, &packed, c, n + slack, &epilogue);
        });
    }

    #[test]
    fn gemm_of_compressed_weights((m, n, k) in dims(), seed: u64) {
        let mut noise = Noise::new(seed);
        let (a, bias) = (noise.floats(m * k), noise.floats(n));
        let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Relu, ..Epilogue::default() };
        let halves: Vec<u16> = (0..k * n).map(|_| noise.bits() as u16 & 0xbfff).collect();
        let mut packed = vec![0; gemm_half::packed_len(k, n)];
        gemm_half::pack_b(k, n, &halves, n, 1, &mut packed);
        check_floats(m * n, &|| gemm_half::scratch_len(k), |c, scratch| {
            gemm_half::gemm(m, n, k, &a, k, gemm_half::Halves::F16(&packed), c, n, &epilogue, scratch);
        });
        let (code, block) = (Code::Uint4, 32);
        let codes = noise.bytes(code.codes_len(n, k, block));
        let scales = noise.floats(code.scales_len(n, k, block));
        let weight = Blocks { code, block, codes: &codes, scales: Numbers::Single(&scales), zero_points: Zero::Implied };
        check_floats(m * n, &|| gemm_blocks::scratch_len(k), |c, scratch| {
            gemm_blocks::gemm(m, n, k, &a, k, &weight, c, n, &epilogue, scratch);
        });
    }

    #[test]
    fn gemm_of_heads(rows in 1..=9usize, heads in 5..=9usize, dim in 6..=16usize, k in 100..=200usize, seed: u64) {
        let (dim, k) = (4 * dim, 4 * k);
        let (mut noise, n) = (Noise::new(seed), heads * dim);
        let (q, x, w) = (noise.floats(rows * n), noise.floats(rows * heads * k), noise.floats(k * n));
        let mut packed = vec![0.0; gemm::packed_len(k, n)];
        gemm::pack_b(k, n, &w, n, 1, &mut packed);
        check_floats(x.len(), &|| 0, |y, _| gemm_heads::transposed(rows, heads, dim, k, &q, &packed, y));
        check_floats(q.len(), &|| 0, |out, _| gemm_heads::gemm(rows, heads, dim, k, &x, &packed, None, out));
    }

    #[test]
    fn gemm_of_bytes((m, n, k) in dims(), mode in prop::sample::select(&Mode::ALL[..]), fast: bool, seed: u64) {
        let mut noise = Noise::new(seed);
        let (a, b) = (noise.floats(m * k), noise.bytes(k * n));
        let accuracy = if fast { Accuracy::Fast } else { Accuracy::Exact };
        let b = Int8::I8(bytemuck::cast_slice(&b));
        let packing = Packing::new(mode, accuracy, k, n, b, n, 1);
        let mut packed = vec![0; packing.len()];
        packing.pack(b, n, 1, &mut packed);
        let (scale, bias) = (noise.floats(n), noise.floats(n));
        let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Gelu, ..Epilogue::default() };
        let scratch = || gemm_int8::scratch_len(m, k);
        check((m * n, 0u32), (&scratch, 77), |c, scratch| {
            let c = bytemuck::cast_slice_mut(c);
            gemm_int8::gemm_rows(m, n, k, &a, k, &packed, &[3], &scale, &epilogue, c, n, scratch);
        });
        if !fast {
            let (a, zero) = (noise.bytes(m * k), [-5]);
            check((m * n, 0i32), (&scratch, 77), |c, scratch| {
                gemm_int8::gemm_i32(m, n, k, Int8::U8(&a), k, &zero, &packed, &[], c, n, scratch);
            });
        }
    }

    #[test]
    fn attention_of_heads(count in 1..=13usize, seq in 60..=100usize, dim in 8..=40usize, masked: bool, seed: u64) {
        let mut noise = Noise::new(seed);
        let stride = count * dim + 3;
        let [q, k, v] = [0; 3].map(|_| noise.floats(seq * stride));
        let hidden: Vec<f32> = (0..count * seq).map(|_| if noise.below(3) == 0 { f32::MIN } else { 0.0 }).collect();
        let mask = |head| masked.then(|| Mask { data: &hidden[head * seq..], row_stride: 0, one_each: false });
        let shape = Shape { seq_q: seq, seq_k: seq, head_dim: dim, v_dim: dim, scale: 0.3 };
        let [q, k, v] = [&q, &k, &v].map(|data| Rows { data, stride });
        check_floats(seq * stride, &|| attention::scratch_len(&shape), |out, scratch| {
            attention::heads(&shape, count, q, k, v, &mask, out, stride, scratch);
        });
    }

    #[test]
    fn rows_and_elements(rows in 100..=200usize, cols in 400..=800usize, seed: u64) {
        let mut noise = Noise::new(seed);
        let mut x = noise.floats(rows * cols);
        noise.poison(&mut x);
        let (scale, bias) = (noise.floats(cols), noise.floats(cols));
        check_floats(x.len(), &|| 0, |out, _| {
            layer_norm::layer_norm(&x, out, rows, cols, Some(&scale), Some(&bias), 1e-5);
        });
        check_floats(x.len(), &|| 0, |out, _| {
            out.copy_from_slice(&x);
            softmax::softmax(out, rows, cols);
        });
        check_floats(x.len(), &|| 0, |out, _| {
            out.copy_from_slice(&x);
            unary::apply(UnaryOp::GeluTanh, out);
        });
        // A column and a row, behind an axis of one.
        check_floats(x.len(), &|| 0, |out, _| {
            let (of_a, of_b) = ([9, cols, 1], [9, 0, 1]);
            binary::broadcast(BinaryOp::Div, &[1, rows, cols], &x, &of_a, &scale, &of_b, out);
        });
        check_floats(x.len(), &|| 0, |out, _| {
            binary::broadcast(BinaryOp::Sub, &[rows, cols], &x[..rows], &[1, 0], &bias, &[0, 1], out);
        });
    }
}
