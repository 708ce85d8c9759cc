use crate::{Noise, config};
use fourlane_kernels::gemm::Epilogue;
use fourlane_kernels::gemm_int8::{Int8, gemm_f32, gemm_i32, pack_b, packed_len};
use fourlane_kernels::unary::{self, UnaryOp};
use fourlane_kernels::{Activation, reference};
use proptest::prelude::*;

/// Bytes that are read as signed or unsigned.
#[derive(Clone, Debug)]
struct Bytes {
    data: Vec<u8>,
    signed: bool,
}

impl Bytes {
    fn int8(&self, from: usize) -> Int8<'_> {
        let data = &self.data[from..];
        if self.signed { Int8::I8(bytemuck::cast_slice(data)) } else { Int8::U8(data) }
    }

    fn zero_points(&self, len: usize, noise: &mut Noise) -> Vec<i32> {
        let zero_point = |byte: u8| if self.signed { (byte as i8).into() } else { byte.into() };
        noise.bytes(len).into_iter().map(zero_point).collect()
    }
}

/// How many zero points or scales there are.
#[derive(Clone, Copy, Debug)]
enum Count {
    None,
    One,
    Each,
}

impl Count {
    fn of(self, each: usize) -> usize {
        match self {
            Count::None => 0,
            Count::One => 1,
            Count::Each => each,
        }
    }
}

#[derive(Clone, Debug)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    slack: [usize; 3],
    misalignment: usize,
    transposed: bool,
    signed: [bool; 2],
    a_zero: Count,
    b_zero: Count,
    seed: u64,
}

fn cases(k: impl Strategy<Value = usize>) -> impl Strategy<Value = Case> {
    let dims = (0..=70usize, 0..=70usize, k);
    let layout = (proptest::array::uniform3(0..9usize), 0..16usize, any::<bool>(), any::<[bool; 2]>());
    let a_zero = prop_oneof![Just(Count::One), Just(Count::Each)];
    let b_zero = prop_oneof![Just(Count::None), Just(Count::One), Just(Count::Each)];
    (dims, layout, a_zero, b_zero, any::<u64>()).prop_map(|((m, n, k), layout, a_zero, b_zero, seed)| {
        let (slack, misalignment, transposed, signed) = layout;
        Case { m, n, k, slack, misalignment, transposed, signed, a_zero, b_zero, seed }
    })
}

struct Operands {
    a: Bytes,
    a_stride: usize,
    a_zero: Vec<i32>,
    b: Bytes,
    b_strides: (usize, usize),
    b_zero: Vec<i32>,
    packed: Vec<u8>,
}

impl Operands {
    fn new(case: &Case, noise: &mut Noise) -> Self {
        let &Case { m, n, k, slack, misalignment, signed, .. } = case;
        let a_stride = k + slack[0];
        let a = Bytes { data: noise.bytes(misalignment + m * a_stride), signed: signed[0] };
        let b_strides = if case.transposed { (1, k + slack[1]) } else { (n + slack[1], 1) };
        let b = Bytes { data: noise.bytes(k * b_strides.0 + n * b_strides.1), signed: signed[1] };
        let a_zero = a.zero_points(case.a_zero.of(m), noise);
        let b_zero = b.zero_points(case.b_zero.of(n), noise);
        let mut packed = vec![0xaa; packed_len(k, n)];
        pack_b(k, n, b.int8(0), b_strides.0, b_strides.1, &mut packed);
        Operands { a, a_stride, a_zero, b, b_strides, b_zero, packed }
    }

    fn reference(&self, case: &Case) -> Vec<i32> {
        let (row_stride, col_stride) = self.b_strides;
        reference::gemm_i32(
            case.m,
            case.n,
            case.k,
            self.a.int8(case.misalignment),
            self.a_stride,
            &self.a_zero,
            self.b.int8(0),
            row_stride,
            col_stride,
            &self.b_zero,
        )
    }
}

const UNTOUCHED: i32 = -77;

fn check_i32(case: &Case) {
    let &Case { m, n, k, misalignment, slack, .. } = case;
    let x = Operands::new(case, &mut Noise::new(case.seed));
    let c_stride = n + slack[2];
    let mut c = vec![UNTOUCHED; m * c_stride];
    let a = x.a.int8(misalignment);
    gemm_i32(m, n, k, a, x.a_stride, &x.a_zero, &x.packed, &x.b_zero, &mut c, c_stride);
    let expected = x.reference(case);
    for (i, row) in c.chunks(c_stride.max(1)).enumerate() {
        assert_eq!(row[..n], expected[i * n..][..n], "row {i}");
        assert!(row[n..].iter().all(|&x| x == UNTOUCHED), "row {i} was written beyond its end");
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn integers_are_exact(case in cases(0..=70usize)) {
        check_i32(&case);
    }

    /// The fused operator has the bits of the separate ones.
    #[test]
    fn floats_have_the_bits_of_separate_operators(
        case in cases(0..=70usize),
        scales in any::<[bool; 2]>(),
        with_bias: bool,
        activation in prop::sample::select(&[
            (Activation::None, None),
            (Activation::Relu, Some(UnaryOp::Relu)),
            (Activation::Gelu, Some(UnaryOp::Gelu)),
            (Activation::GeluTanh, Some(UnaryOp::GeluTanh)),
            (Activation::Tanh, Some(UnaryOp::Tanh)),
        ][..]),
        with_residual: bool,
    ) {
        let Case { m, n, k, misalignment, slack, .. } = case;
        let mut noise = Noise::new(case.seed);
        let x = Operands::new(&case, &mut noise);
        let small = |mut x: Vec<f32>| { x.iter_mut().for_each(|x| *x *= 0.01); x };
        let a_scale = small(noise.floats(if scales[0] { m } else { 1 }));
        let b_scale = small(noise.floats(if scales[1] { n } else { 1 }));
        let bias = noise.floats(n);
        let residual_stride = n + slack[0];
        let residual = noise.floats(m * residual_stride);
        let epilogue = Epilogue {
            bias: with_bias.then_some(&bias),
            activation: activation.0,
            residual: with_residual.then_some(&residual),
            residual_stride,
            ..Epilogue::default()
        };
        let c_stride = n + slack[2];
        let mut c = vec![0.0; m * c_stride];
        let a = x.a.int8(misalignment);
        gemm_f32(
            m, n, k, a, x.a_stride, &x.a_zero, &x.packed, &x.b_zero, &a_scale, &b_scale, &epilogue, &mut c, c_stride,
        );

        let acc = x.reference(&case);
        let mut expected = reference::gemm_int8_f32(m, n, &acc, &a_scale, &b_scale, epilogue.bias);
        if let Some(op) = activation.1 {
            unary::apply(op, &mut expected);
        }
        for i in 0..m {
            for j in 0..n {
                let residual = if with_residual { residual[i * residual_stride + j] } else { -0.0 };
                let expected = expected[i * n + j] + residual;
                prop_assert_eq!(c[i * c_stride + j].to_bits(), expected.to_bits(), "row {}, column {}", i, j);
            }
        }
    }
}

proptest! {
    #![proptest_config(config(8))]

    /// Across the blocks of `k`, whose sums meet in C.
    #[test]
    fn long_sums_are_exact(case in cases(250..=800usize)) {
        check_i32(&case);
    }
}

/// The largest magnitudes that every combination of signs allows, over thousands of terms.
#[test]
fn extreme_values_are_exact() {
    let (m, n) = (5, 9);
    for k in [1, 2, 255, 256, 257, 3072, 3073] {
        for (a, a_signed) in [(255u8, false), (0, false), (0x80, true), (0x7f, true)] {
            for (b, b_signed) in [(255u8, false), (0, false), (0x80, true), (0x7f, true)] {
                let a = Bytes { data: vec![a; m * k], signed: a_signed };
                let b = Bytes { data: vec![b; k * n], signed: b_signed };
                let mut packed = vec![0; packed_len(k, n)];
                pack_b(k, n, b.int8(0), n, 1, &mut packed);
                for a_zero in if a_signed { [-128, 127] } else { [0, 255] } {
                    for b_zero in if b_signed { [-128, 127] } else { [0, 255] } {
                        let mut c = vec![0; m * n];
                        gemm_i32(m, n, k, a.int8(0), k, &[a_zero], &packed, &[b_zero], &mut c, n);
                        let expected =
                            reference::gemm_i32(m, n, k, a.int8(0), k, &[a_zero], b.int8(0), n, 1, &[b_zero]);
                        assert_eq!(c, expected, "k {k}, zero points {a_zero} and {b_zero}");
                    }
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "packed_b has the wrong length")]
fn a_wrong_length_panics() {
    gemm_i32(1, 1, 1, Int8::U8(&[0]), 1, &[0], &[0; 8], &[], &mut [0], 1);
}
