//! The kernels of sessions that follow a graph to the letter, against bits that onnxruntime has given (`record.py`).

use crate::{Noise, assert_each, close, config};
use fourlane_kernels::gemm::{Epilogue, pack_b, packed_len};
use fourlane_kernels::literal::{self, Moments};
use fourlane_kernels::reduce::{ReduceOp, reduce};
use fourlane_kernels::reference;
use fourlane_kernels::unary::UnaryOp;
use proptest::prelude::*;

const RECORDED: &str = include_str!("literal/recorded.txt");

fn numbers(first: u64, count: u64) -> Vec<f32> {
    let hash = |i: u64| (i * 2_654_435_761 % (1 << 32)) >> 8;
    (first..first + count).map(|i| hash(i) as f32 / (1 << 21) as f32 - 4.0).collect()
}

#[track_caller]
fn assert_recorded(name: &str, actual: &[f32]) {
    let line = RECORDED.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    let bits = line.split(' ').map(|word| f32::from_bits(u32::from_str_radix(word, 16).unwrap()));
    assert_each(actual, &bits.collect::<Vec<_>>(), |_, a, e| a.to_bits() == e.to_bits());
}

#[test]
fn functions() {
    for (name, op) in
        [("erf", UnaryOp::Erf), ("tanh", UnaryOp::Tanh), ("gelu", UnaryOp::Gelu), ("gelu_tanh", UnaryOp::GeluTanh)]
    {
        let mut x = numbers(0, 64);
        literal::apply(op, &mut x);
        assert_recorded(name, &x);
    }
}

#[test]
fn rows() {
    let mut x = numbers(0, 3 * 37);
    literal::softmax(&mut x, 3, 37);
    assert_recorded("softmax", &x);

    let mut means = [0.0; 4];
    reduce(ReduceOp::Mean, 4, 44, 1, &numbers(0, 4 * 44), &mut means);
    assert_recorded("mean", &means);

    let (scale, bias) = (numbers(300, 64), numbers(400, 64));
    for (name, moments) in [("wide", Moments::Wide), ("running", Moments::Running)] {
        let mut x = numbers(100, 2 * 64);
        literal::layer_norm_in_place(&mut x, 2, 64, Some(&scale), Some(&bias), 1e-5, moments);
        assert_recorded(name, &x);
    }
}

#[test]
fn products() {
    let (m, n, k) = (3, 20, 300);
    let mut packed = vec![0.0; packed_len(k, n)];
    pack_b(k, n, &numbers(1000, 6000), n, 1, &mut packed);
    let mut c = vec![f32::NAN; m * n];
    let a = numbers(0, 900);
    literal::gemm(m, n, k, &a, k, &packed, &mut c, n, &Epilogue::default(), literal::depth(k, n));
    assert_recorded("product", &c);
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn gemm_matches_reference(
        (m, n, k) in (0..7usize, 0..=40usize, 0..=70usize),
        depth in 0..80usize,
        (a_pad, c_pad) in (0..3usize, 0..3usize),
        with_epilogue: bool,
        seed: u64,
    ) {
        let mut noise = Noise::new(seed);
        let (a, b) = (noise.floats(m * (k + a_pad)), noise.floats(k * n));
        let (bias, residual) = (noise.floats(n), noise.floats(m * n));
        let mut packed = vec![0.0; packed_len(k, n)];
        pack_b(k, n, &b, n, 1, &mut packed);
        let epilogue = match with_epilogue {
            true => Epilogue { alpha: 0.5, bias: Some(&bias), residual: Some(&residual), residual_stride: n, ..Epilogue::default() },
            false => Epilogue::default(),
        };
        let mut c = vec![7.0; m * (n + c_pad)];
        literal::gemm(m, n, k, &a, k + a_pad, &packed, &mut c, n + c_pad, &epilogue, depth);
        for i in 0..m {
            for j in 0..n {
                let sum: f64 = (0..k).map(|l| f64::from(a[i * (k + a_pad) + l]) * f64::from(b[l * n + j])).sum();
                let expected = match with_epilogue {
                    true => sum * 0.5 + f64::from(bias[j]) + f64::from(residual[i * n + j]),
                    false => sum,
                };
                prop_assert!((f64::from(c[i * (n + c_pad) + j]) - expected).abs() < 1e-4);
            }
            prop_assert!(c[i * (n + c_pad) + n..(i + 1) * (n + c_pad)].iter().all(|&x| x == 7.0));
        }
    }

    #[test]
    fn rows_match_reference(
        (rows, cols) in (0..4usize, 0..=70usize),
        range in prop_oneof![Just(1.0f32), Just(50.0), Just(1e30)],
        poison: bool,
        moments in prop_oneof![Just(Moments::Wide), Just(Moments::Running), Just(Moments::Sequential)],
        (with_scale, with_bias) in any::<(bool, bool)>(),
        seed: u64,
    ) {
        let mut noise = Noise::new(seed);
        let x = noise.floats(rows * cols);
        let (scale, bias) = (noise.floats(cols), noise.floats(cols));
        let (scale, bias) = (with_scale.then_some(&scale[..]), with_bias.then_some(&bias[..]));
        let mut y = x.clone();
        literal::layer_norm_in_place(&mut y, rows, cols, scale, bias, 1e-5, moments);
        let expected = reference::layer_norm(&x, rows, cols, scale, bias, 1e-5);
        let tolerance = if cols < 8 { 2e-3 } else { 4e-6 };
        assert_each(&y, &expected, |_, x, y| close(x, y, tolerance * (1.0 + y.abs())));

        let mut x: Vec<f32> = x.iter().map(|x| x * range).collect();
        if poison {
            noise.poison(&mut x);
        }
        let mut expected = x.clone();
        reference::softmax(&mut expected, rows, cols);
        literal::softmax(&mut x, rows, cols);
        assert_each(&x, &expected, |_, x, y| close(x, y, 1e-7 + 1e-6 * y));
    }

    #[test]
    fn functions_match_reference(bits: [u32; 16]) {
        let x = bits.map(f32::from_bits);
        for (op, tolerance) in
            [(UnaryOp::Erf, 2e-7), (UnaryOp::Tanh, 2e-7), (UnaryOp::Gelu, 5e-7), (UnaryOp::GeluTanh, 5e-7)]
        {
            let mut y = x;
            literal::apply(op, &mut y);
            let expected = x.map(|x| reference::unary(op, x.into()) as f32);
            assert_each(&y, &expected, |i, y, e| x[i].is_infinite() || close(y, e, tolerance * x[i].abs().max(1.0)));
        }
    }
}
