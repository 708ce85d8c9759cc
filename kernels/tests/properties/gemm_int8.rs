use crate::{Noise, config};
use fourlane_kernels::gemm::Epilogue;
use fourlane_kernels::gemm_int8::{
    Accuracy, Int8, Mode, Packing, gemm_f32, gemm_i32, gemm_rows, pack_b, packed_len, scratch_len,
};
use fourlane_kernels::unary::{self, UnaryOp};
use fourlane_kernels::{Activation, reference};
use proptest::prelude::*;

/// The modes that this engine has; forced, whatever would be chosen. Natively all of them.
fn modes() -> Vec<Mode> {
    Mode::ALL.into_iter().filter(|mode| mode.is_exact()).collect()
}

fn pack(mode: Mode, accuracy: Accuracy, k: usize, n: usize, b: Int8, strides: (usize, usize)) -> Vec<u8> {
    let packing = Packing::new(mode, accuracy, k, n, b, strides.0, strides.1);
    assert_eq!(packing.mode(), mode);
    let mut packed = vec![0xaa; packing.len()];
    packing.pack(b, strides.0, strides.1, &mut packed);
    packed
}

fn scratch(m: usize, k: usize) -> Vec<i32> {
    vec![0x5555_5555; scratch_len(m, k)]
}

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
    mode: Mode,
    /// Halvings of most weights: real ones are small, with a few large ones among them.
    smallness: u32,
    seed: u64,
}

fn cases(k: impl Strategy<Value = usize>) -> impl Strategy<Value = Case> {
    let dims = (0..=70usize, 0..=70usize, k);
    let layout = (proptest::array::uniform3(0..9usize), 0..16usize, any::<bool>(), any::<[bool; 2]>());
    let a_zero = prop_oneof![Just(Count::One), Just(Count::Each)];
    let b_zero = prop_oneof![Just(Count::None), Just(Count::One), Just(Count::Each)];
    let weights = (prop::sample::select(modes()), 0..4u32, any::<u64>());
    (dims, layout, a_zero, b_zero, weights).prop_map(|((m, n, k), layout, a_zero, b_zero, weights)| {
        let (slack, misalignment, transposed, signed) = layout;
        let (mode, smallness, seed) = weights;
        Case { m, n, k, slack, misalignment, transposed, signed, a_zero, b_zero, mode, smallness, seed }
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
        let mut b = Bytes { data: noise.bytes(k * b_strides.0 + n * b_strides.1), signed: signed[1] };
        for x in b.data.iter_mut().filter(|x| **x % 16 != 0) {
            let small = (*x as i8) >> case.smallness;
            *x = if signed[1] { small as u8 } else { (small as u8).wrapping_add(128) };
        }
        let a_zero = a.zero_points(case.a_zero.of(m), noise);
        let b_zero = b.zero_points(case.b_zero.of(n), noise);
        let packed = pack(case.mode, Accuracy::Exact, k, n, b.int8(0), b_strides);
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
    let mut scratch = scratch(m, k);
    gemm_i32(m, n, k, a, x.a_stride, &x.a_zero, &x.packed, &x.b_zero, &mut c, c_stride, &mut scratch);
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
            (Activation::GeluHalf, Some(UnaryOp::GeluHalf)),
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
            &mut scratch(m, k),
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
    #![proptest_config(config(200))]

    /// Quantising rows on the way has the bits of doing it before.
    #[test]
    fn fused_quantisation_has_the_bits_of_two_steps(
        case in cases(0..=70usize),
        fast: bool,
        range in prop_oneof![Just(0.0f32), Just(1.0), Just(1e-3), Just(1e20)],
        shift in prop_oneof![Just(0.0f32), Just(3.0), Just(-1.0)],
        poison: bool,
    ) {
        let Case { m, n, k, slack, .. } = case;
        let mut noise = Noise::new(case.seed);
        let x = Operands::new(&case, &mut noise);
        let accuracy = if fast { Accuracy::Fast } else { Accuracy::Exact };
        let packed = pack(case.mode, accuracy, k, n, x.b.int8(0), x.b_strides);
        let a_stride = k + slack[0];
        let mut a = noise.floats(m * a_stride);
        a.iter_mut().for_each(|x| *x = (*x + shift) * range);
        if poison {
            // Not in every row.
            noise.poison(&mut a);
        }
        let b_scale = noise.floats(n);
        let bias = noise.floats(n);
        let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
        let c_stride = n + slack[2];
        let mut c = vec![0.0; m * c_stride];
        let mut space = scratch(m, k);
        gemm_rows(m, n, k, &a, a_stride, &packed, &x.b_zero, &b_scale, &epilogue, &mut c, c_stride, &mut space);

        let (mut bytes, mut scales, mut zeros) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..m {
            let row = &a[i * a_stride..][..k];
            let (row, scale, zero) = reference::dynamic_quantize(row, if fast { 127 } else { 255 });
            bytes.extend(row);
            scales.push(scale);
            zeros.push(i32::from(zero));
        }
        let (b, strides) = (x.b.int8(0), x.b_strides);
        let acc = reference::gemm_i32(m, n, k, Int8::U8(&bytes), k, &zeros, b, strides.0, strides.1, &x.b_zero);
        let expected = reference::gemm_int8_f32(m, n, &acc, &scales, &b_scale, Some(&bias));
        for i in 0..m {
            for j in 0..n {
                let (actual, expected) = (c[i * c_stride + j], expected[i * n + j]);
                prop_assert!(crate::identical(actual, expected), "row {i}, column {j}: {actual} for {expected}");
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
    for mode in modes() {
        for k in [1, 2, 255, 256, 257, 3073] {
            for (a, a_signed) in [(255u8, false), (0, false), (0x80, true), (0x7f, true)] {
                for (b, b_signed) in [(255u8, false), (0, false), (0x80, true), (0x7f, true)] {
                    let a = Bytes { data: vec![a; m * k], signed: a_signed };
                    let mut b = Bytes { data: vec![b; k * n], signed: b_signed };
                    // The opposite extreme in one place, so that the others are not the mean.
                    b.data[0] = !b.data[0];
                    let packed = pack(mode, Accuracy::Exact, k, n, b.int8(0), (n, 1));
                    for a_zero in if a_signed { [-128, 127] } else { [0, 255] } {
                        for b_zero in if b_signed { [-128, 127] } else { [0, 255] } {
                            let (a, b) = (a.int8(0), b.int8(0));
                            let mut c = vec![0; m * n];
                            gemm_i32(m, n, k, a, k, &[a_zero], &packed, &[b_zero], &mut c, n, &mut scratch(m, k));
                            let expected = reference::gemm_i32(m, n, k, a, k, &[a_zero], b, n, 1, &[b_zero]);
                            assert_eq!(c, expected, "{mode:?}, k {k}, zero points {a_zero} and {b_zero}");
                        }
                    }
                }
            }
        }
    }
}

/// More rows than a block has.
#[test]
fn many_rows_are_exact() {
    let (m, n, k) = (200, 9, 4000);
    let mut noise = Noise::new(7);
    let (a, b) = (noise.bytes(m * k), noise.bytes(k * n));
    let (a, b) = (Int8::U8(&a), Int8::U8(&b));
    let expected = reference::gemm_i32(m, n, k, a, k, &[3], b, n, 1, &[200]);
    for mode in modes() {
        let packed = pack(mode, Accuracy::Exact, k, n, b, (n, 1));
        let mut c = vec![0; m * n];
        gemm_i32(m, n, k, a, k, &[3], &packed, &[200], &mut c, n, &mut scratch(m, k));
        assert_eq!(c, expected, "{mode:?}");
    }
}

#[test]
fn the_default_packing_is_i16() {
    let (k, n) = (13, 11);
    let b = Noise::new(1).bytes(k * n);
    let mut packed = vec![0; packed_len(k, n)];
    pack_b(k, n, Int8::U8(&b), n, 1, &mut packed);
    assert_eq!(packed, pack(Mode::I16, Accuracy::Exact, k, n, Int8::U8(&b), (n, 1)));
}

/// Weights decide whether sums in 16 bits are worth it, and whether fewer bits of A would help.
#[test]
fn packing_chooses_by_the_weights() {
    if !Mode::Maddubs.is_exact() {
        return;
    }
    let (k, n) = (64, 16);
    let mut noise = Noise::new(2);
    let wild = noise.bytes(k * n);
    let quiet: Vec<u8> = wild.iter().map(|x| x % 16).collect();
    let choose = |accuracy, b: &[u8]| {
        let packing = Packing::fastest(Mode::Maddubs, accuracy, k, n, Int8::U8(b), n, 1);
        (packing.mode(), packing.len())
    };
    let (mode, len) = choose(Accuracy::Exact, &wild);
    assert_eq!((mode, len), (Mode::I16, packed_len(k, n)));
    let (mode, len) = choose(Accuracy::Exact, &quiet);
    assert_eq!(mode, Mode::Maddubs);
    assert!(len < packed_len(k, n) * 11 / 10, "{len} bytes");
    // Those gain nothing, these everything.
    assert_eq!(choose(Accuracy::Fast, &quiet), (mode, len));
    assert_eq!(choose(Accuracy::Fast, &wild).0, Mode::Maddubs);
}

#[test]
fn names_tell_modes_apart() {
    for mode in Mode::ALL {
        assert_eq!(Mode::ALL.into_iter().filter(|other| other.name() == mode.name()).count(), 1);
    }
    assert!(Mode::best().is_exact() && Mode::I16.is_exact());
}

#[test]
#[should_panic(expected = "packed_b has the wrong length")]
fn a_wrong_length_panics() {
    gemm_i32(1, 1, 1, Int8::U8(&[0]), 1, &[0], &[0; 8], &[], &mut [0], 1, &mut scratch(1, 1));
}

#[test]
#[should_panic(expected = "packed for bytes of a up to 127")]
fn bytes_for_a_fast_packing_panic() {
    let packed = pack(Mode::I16, Accuracy::Fast, 1, 1, Int8::I8(&[1]), (1, 1));
    gemm_i32(1, 1, 1, Int8::U8(&[0]), 1, &[0], &packed, &[], &mut [0], 1, &mut scratch(1, 1));
}
