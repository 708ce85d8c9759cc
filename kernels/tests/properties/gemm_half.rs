use crate::{Noise, assert_each, config, identical};
use fourlane_kernels::gemm::{self, Epilogue};
use fourlane_kernels::gemm_half::{self, Halves};
use fourlane_kernels::{Activation, reference};
use proptest::prelude::*;

/// A kind of half, and the oracle of its conversion.
type Kind = (fn(&[u16]) -> Halves<'_>, fn(u16) -> f32);

const KINDS: [Kind; 2] =
    [(|bits| Halves::F16(bits), reference::f16_to_f32), (|bits| Halves::Bf16(bits), reference::bf16_to_f32)];

#[test]
fn every_half_converts_exactly() {
    let halves: Vec<u16> = (0..=u16::MAX).collect();
    for (kind, convert) in KINDS {
        let expected: Vec<f32> = halves.iter().map(|&x| convert(x)).collect();
        let mut actual = vec![0.0; halves.len()];
        gemm_half::to_f32(kind(&halves), &mut actual);
        assert_each(&actual, &expected, |_, x, y| identical(x, y));
        // A slice that does not end with a vector.
        gemm_half::to_f32(kind(&halves[31 << 10..][..7]), &mut actual[..7]);
        assert_each(&actual[..7], &expected[31 << 10..][..7], |_, x, y| identical(x, y));
    }
}

/// The oracle is the f32 kernel: not close to it, but its bits.
fn check(m: usize, n: usize, k: usize, slack: [usize; 3], transposed: bool, brain: bool, seed: u64) {
    let (kind, convert) = KINDS[usize::from(brain)];
    let mut noise = Noise::new(seed);
    let (a_stride, c_stride) = (k + slack[0], n + slack[1]);
    let a = noise.floats(m * a_stride);
    let (row_stride, col_stride) = if transposed { (1, k + slack[2]) } else { (n + slack[2], 1) };
    // Any bits: NaN, infinities and subnormals among them.
    let b: Vec<u16> = (0..k * row_stride + n * col_stride).map(|_| noise.bits() as u16).collect();
    let bias = noise.floats(n);
    let epilogue = Epilogue { alpha: 0.7, bias: Some(&bias), activation: Activation::Relu, ..Epilogue::default() };

    let mut packed = vec![0; gemm_half::packed_len(k, n)];
    gemm_half::pack_b(k, n, &b, row_stride, col_stride, &mut packed);
    let mut actual = vec![-77.0; m * c_stride];
    let mut scratch = vec![f32::NAN; gemm_half::scratch_len(k)];
    gemm_half::gemm(m, n, k, &a, a_stride, kind(&packed), &mut actual, c_stride, &epilogue, &mut scratch);

    let b: Vec<f32> = b.into_iter().map(convert).collect();
    let mut packed = vec![0.0; gemm::packed_len(k, n)];
    gemm::pack_b(k, n, &b, row_stride, col_stride, &mut packed);
    let mut expected = vec![-77.0; m * c_stride];
    gemm::gemm(m, n, k, &a, a_stride, &packed, &mut expected, c_stride, &epilogue);
    assert_each(&actual, &expected, |_, x, y| identical(x, y));
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn has_the_bits_of_the_converted_matrix(
        m in 0..=20usize,
        n in 0..=70usize,
        k in 0..=70usize,
        slack in proptest::array::uniform3(0..9usize),
        transposed: bool,
        brain: bool,
        seed: u64,
    ) {
        check(m, n, k, slack, transposed, brain, seed);
    }
}

#[test]
fn has_the_bits_of_the_converted_matrix_across_blocks_of_rows() {
    check(70, 19, 1100, [0, 1, 2], false, false, 1);
    check(70, 19, 1100, [0, 1, 2], false, true, 2);
}

#[test]
#[should_panic(expected = "scratch is too short")]
fn a_short_scratch_panics() {
    const LEN: usize = gemm_half::packed_len(1, 8);
    gemm_half::gemm(1, 8, 1, &[0.0], 1, Halves::F16(&[0; LEN]), &mut [0.0; 8], 8, &Epilogue::default(), &mut [0.0; 31]);
}

#[test]
#[should_panic(expected = "packed_b has the wrong length")]
fn a_short_operand_panics() {
    gemm_half::gemm(1, 8, 1, &[0.0], 1, Halves::Bf16(&[0; 7]), &mut [0.0; 8], 8, &Epilogue::default(), &mut [0.0; 32]);
}
