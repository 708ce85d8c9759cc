use crate::{Noise, assert_each, close, config};
use fourlane_kernels::gemm::{Epilogue, gemm, pack_b, packed_len};
use fourlane_kernels::unary::{UnaryOp, apply};
use fourlane_kernels::{Activation, reference};
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 6] = [
    Activation::None,
    Activation::Relu,
    Activation::Gelu,
    Activation::GeluHalf,
    Activation::GeluTanh,
    Activation::Tanh,
];

/// What C holds before: a kernel must overwrite it in the matrix and keep it outside.
const UNTOUCHED: f32 = -77.0;

#[derive(Clone, Debug)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    /// How much longer than their content the rows of A, B, C and the residual are.
    slack: [usize; 4],
    /// How many floats behind an aligned address A and C begin.
    misalignment: usize,
    transposed: bool,
    alpha: f32,
    bias: bool,
    activation: Activation,
    residual: Option<bool>,
    poison: bool,
    seed: u64,
}

fn cases(k: impl Strategy<Value = usize>) -> impl Strategy<Value = Case> {
    let dims = (0..=70usize, 0..=70usize, k);
    let layout = (proptest::array::uniform4(0..9usize), 0..4usize, any::<bool>());
    let epilogue = (
        prop_oneof![Just(1.0), Just(0.125), Just(-3.0)],
        any::<bool>(),
        prop::sample::select(&ACTIVATIONS[..]),
        any::<Option<bool>>(),
    );
    (dims, layout, epilogue, any::<bool>(), any::<u64>()).prop_map(|(dims, layout, epilogue, poison, seed)| {
        let ((m, n, k), (slack, misalignment, transposed)) = (dims, layout);
        let (alpha, bias, activation, residual) = epilogue;
        Case { m, n, k, slack, misalignment, transposed, alpha, bias, activation, residual, poison, seed }
    })
}

fn check(case: &Case) {
    let &Case { m, n, k, slack, misalignment, .. } = case;
    let mut noise = Noise::new(case.seed);
    let a_stride = k + slack[0];
    let mut a = noise.floats(misalignment + m * a_stride);
    let (row_stride, col_stride) = if case.transposed { (1, k + slack[1]) } else { (n + slack[1], 1) };
    let mut b = noise.floats(k * row_stride + n * col_stride);
    if case.poison {
        noise.poison(&mut a);
        noise.poison(&mut b);
    }
    let a = &a[misalignment..];
    let bias = noise.floats(n);
    let residual_stride = if case.residual == Some(true) { 0 } else { n + slack[3] };
    let residual = noise.floats(m * residual_stride + n);
    let epilogue = Epilogue {
        alpha: case.alpha,
        bias: case.bias.then_some(&bias),
        activation: case.activation,
        residual: case.residual.is_some().then_some(&residual),
        residual_stride,
        ..Epilogue::default()
    };

    let mut packed = vec![f32::NAN; packed_len(k, n)];
    pack_b(k, n, &b, row_stride, col_stride, &mut packed);
    let c_stride = n + slack[2];
    let mut c = vec![UNTOUCHED; misalignment + m * c_stride];
    gemm(m, n, k, a, a_stride, &packed, &mut c[misalignment..], c_stride, &epilogue);

    let expected = reference::gemm(m, n, k, a, a_stride, &b, row_stride, col_stride, &epilogue);
    // Every rounding is relative to a partial sum, which the sum of magnitudes bounds.
    let magnitude = |i: usize, j: usize| {
        let product = |l: usize| (a[i * a_stride + l] * b[l * row_stride + j * col_stride]).abs();
        (0..k).map(product).filter(|x| x.is_finite()).sum::<f32>() * case.alpha.abs() + 8.0
    };
    assert!(c[..misalignment].iter().all(|&x| x == UNTOUCHED));
    for (i, row) in c[misalignment..].chunks(c_stride.max(1)).enumerate() {
        let (row, slack) = row.split_at(n.min(row.len()));
        assert!(slack.iter().all(|&x| x == UNTOUCHED), "row {i} was written beyond its end");
        assert_each(row, &expected[i * n..][..n], |j, x, y| close(x, y, magnitude(i, j) * (k + 8) as f32 * 6e-8));
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn matches_reference(case in cases(0..=70usize)) {
        check(&case);
    }

    /// Rounded before the bias, so as operators of their own do it.
    #[test]
    fn products_in_halves(m in 1..=9usize, n in 1..=70usize, k in 1..=70usize, seed: u64) {
        let mut noise = Noise::new(seed);
        let (a, b, bias) = (noise.floats(m * k), noise.floats(n * k), noise.floats(n));
        let mut packed = vec![0.0; packed_len(k, n)];
        pack_b(k, n, &b, n, 1, &mut packed);
        let (mut fused, mut apart) = (vec![0.0; m * n], vec![0.0; m * n]);
        let epilogue = Epilogue { alpha: 0.7, half: true, bias: Some(&bias), ..Epilogue::default() };
        gemm(m, n, k, &a, k, &packed, &mut fused, n, &epilogue);
        gemm(m, n, k, &a, k, &packed, &mut apart, n, &Epilogue { half: false, bias: None, ..epilogue });
        apply(UnaryOp::Half, &mut apart);
        for (i, x) in apart.iter_mut().enumerate() {
            *x += bias[i % n];
        }
        assert_eq!(fused, apart);
    }

    /// Batching must not change results: this is what makes a text's result independent of its neighbours.
    #[test]
    fn rows_do_not_depend_on_other_rows(m in 1..=9usize, n in 1..=70usize, k in 0..=70usize, seed: u64) {
        let mut noise = Noise::new(seed);
        let (a, b) = (noise.floats(m * k), noise.floats(k * n));
        let mut packed = vec![0.0; packed_len(k, n)];
        pack_b(k, n, &b, n, 1, &mut packed);
        let epilogue = Epilogue { alpha: 0.7, activation: Activation::Gelu, ..Epilogue::default() };
        let mut together = vec![0.0; m * n];
        gemm(m, n, k, &a, k, &packed, &mut together, n, &epilogue);
        for i in 0..m {
            let mut alone = vec![0.0; n];
            gemm(1, n, k, &a[i * k..(i + 1) * k], k, &packed, &mut alone, n, &epilogue);
            assert_eq!(alone, together[i * n..(i + 1) * n]);
        }
    }
}

proptest! {
    #![proptest_config(config(8))]

    /// Across the blocks of `k`, whose sums meet in C.
    #[test]
    fn matches_reference_for_long_sums(case in cases(1000..=2500usize)) {
        check(&case);
    }
}

/// Neither where `k` is cut nor that it is cut shows.
#[test]
fn long_rows_do_not_depend_on_other_rows() {
    let (m, n, k) = (130, 13, 1700);
    let mut noise = Noise::new(3);
    let (a, b) = (noise.floats(m * k), noise.floats(k * n));
    let mut packed = vec![0.0; packed_len(k, n)];
    pack_b(k, n, &b, n, 1, &mut packed);
    let mut together = vec![0.0; m * n];
    gemm(m, n, k, &a, k, &packed, &mut together, n, &Epilogue::default());
    for i in [0, 1, 127, 128, 129] {
        let mut alone = vec![0.0; n];
        gemm(1, n, k, &a[i * k..][..k], k, &packed, &mut alone, n, &Epilogue::default());
        assert_eq!(alone, together[i * n..][..n]);
    }
}

#[test]
fn matches_reference_across_blocks_of_rows() {
    for (m, n) in [(127, 9), (128, 8), (131, 17), (300, 3)] {
        check(&Case {
            m,
            n,
            k: 33,
            slack: [1, 2, 3, 4],
            misalignment: 1,
            transposed: true,
            alpha: 0.5,
            bias: true,
            activation: Activation::Tanh,
            residual: Some(false),
            poison: false,
            seed: 7,
        });
    }
}

#[test]
fn an_empty_sum_is_the_epilogue_of_zero() {
    let bias: Vec<f32> = (0..11).map(|x| x as f32).collect();
    let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
    let mut c = vec![f32::NAN; 22];
    gemm(2, 11, 0, &[], 5, &[], &mut c, 11, &epilogue);
    assert_eq!(c, [bias.clone(), bias.clone()].concat());
}

#[test]
#[should_panic(expected = "a is too short")]
fn a_short_operand_panics() {
    gemm(2, 1, 3, &[0.0; 5], 3, &[0.0; packed_len(3, 1)], &mut [0.0; 2], 1, &Epilogue::default());
}

#[test]
#[should_panic(expected = "a is too short")]
fn a_stride_that_overflows_panics() {
    gemm(3, 1, 1, &[0.0; 5], usize::MAX / 2 + 1, &[0.0; packed_len(1, 1)], &mut [0.0; 3], 1, &Epilogue::default());
}
