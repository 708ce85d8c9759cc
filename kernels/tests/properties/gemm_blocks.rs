use crate::{Noise, assert_each, config, identical};
use fourlane_kernels::gemm::{self, Epilogue};
use fourlane_kernels::gemm_blocks::{self, Blocks, Code, Numbers, Zero, dequantize_row};
use fourlane_kernels::gemm_half::Halves;
use fourlane_kernels::{Activation, literal, reference};
use proptest::prelude::*;

const CODES: [Code; 9] =
    [Code::Uint2, Code::Uint4, Code::Uint8, Code::Uint16, Code::Int4, Code::Int8, Code::Int16, Code::Nf4, Code::Fp4];

#[derive(Clone, Debug)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    code: Code,
    block: usize,
    /// Which kind of zero points, for codes that have them.
    zero: usize,
    /// In which type scales are, and zero points that are numbers.
    dtype: usize,
    poison: bool,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    // Blocks from the flattened matrix take another path where rows are not a multiple of eight.
    let k = prop_oneof![0..=70usize, (0..=20usize).prop_map(|x| 8 * x), (0..=4usize).prop_map(|x| 64 * x)];
    let dims = (0..=20usize, 0..=40usize, k);
    let format =
        (prop::sample::select(&CODES[..]), prop::sample::select(&[0, 16, 32, 64, 256][..]), 0..3usize, 0..3usize);
    (dims, format, any::<bool>(), any::<u64>()).prop_map(|((m, n, k), (code, block, zero, dtype), poison, seed)| {
        // 0 stands for whole rows, where there can be such blocks.
        let block = if block > 0 { block } else { k };
        let block = if code.supports_block(k, block) { block } else { 16 };
        Case { m, n, k, code, block, zero, dtype, poison, seed }
    })
}

/// Calls `f` with a matrix `[n, k]`.
fn with_blocks(case: &Case, f: impl FnOnce(&Blocks)) {
    let &Case { n, k, code, block, .. } = case;
    let mut noise = Noise::new(case.seed);
    let codes = noise.bytes(code.codes_len(n, k, block));
    let mut scales = noise.floats(code.scales_len(n, k, block));
    let zero_codes = noise.bytes(code.zero_points_len(n, k, block));
    let mut zeros: Vec<f32> = noise.floats(scales.len()).into_iter().map(|x| 5.0 * x).collect();
    if case.poison {
        noise.poison(&mut scales);
        noise.poison(&mut zeros);
    }
    if matches!(code, Code::Int4 | Code::Int8 | Code::Int16) {
        zeros.iter_mut().for_each(|x| *x = x.round());
    }
    let halves: Vec<u16> = scales.iter().map(|_| noise.bits() as u16 & 0xbfff).collect();
    // The upper half of an f32 is exact for small integers.
    let [brain_scales, brain_zeros] =
        [&scales, &zeros].map(|x| x.iter().map(|x| (x.to_bits() >> 16) as u16).collect::<Vec<_>>());
    let (scales, zeros) = match case.dtype {
        0 => (Numbers::Single(&scales), Numbers::Single(&zeros)),
        1 => (Numbers::Half(Halves::F16(&halves)), Numbers::Single(&zeros)),
        _ => (Numbers::Half(Halves::Bf16(&brain_scales)), Numbers::Half(Halves::Bf16(&brain_zeros))),
    };
    let zero_points = match case.zero {
        1 if !matches!(code, Code::Nf4 | Code::Fp4) => Zero::Codes(&zero_codes),
        2 if !matches!(code, Code::Nf4 | Code::Fp4) => Zero::Floats(zeros),
        _ => Zero::Implied,
    };
    f(&Blocks { code, block, codes: &codes, scales, zero_points });
}

/// The oracle is the f32 kernel with the oracle's matrix: not close to it, but its bits.
fn check(case: &Case) {
    let &Case { m, n, k, .. } = case;
    let mut noise = Noise::new(!case.seed);
    let (a_stride, c_stride) = (k + 1, n + 2);
    let a = noise.floats(m * a_stride);
    let bias = noise.floats(n);
    let epilogue = Epilogue { alpha: 0.7, bias: Some(&bias), activation: Activation::Relu, ..Epilogue::default() };
    with_blocks(case, |blocks| {
        let mut actual = vec![-77.0; m * c_stride];
        let mut scratch = vec![f32::NAN; gemm_blocks::scratch_len(k)];
        gemm_blocks::gemm(m, n, k, &a, a_stride, blocks, &mut actual, c_stride, &epilogue, &mut scratch);

        let b = reference::dequantize_blocks(blocks, n, k);
        let mut packed = vec![0.0; gemm::packed_len(k, n)];
        gemm::pack_b(k, n, &b, 1, k, &mut packed);
        let mut expected = vec![-77.0; m * c_stride];
        gemm::gemm(m, n, k, &a, a_stride, &packed, &mut expected, c_stride, &epilogue);
        assert_each(&actual, &expected, |_, x, y| identical(x, y));

        gemm_blocks::gemm_literal(m, n, k, &a, a_stride, blocks, &mut actual, c_stride, &epilogue, &mut scratch);
        literal::gemm(m, n, k, &a, a_stride, &packed, &mut expected, c_stride, &epilogue, literal::depth(k, n));
        assert_each(&actual, &expected, |_, x, y| identical(x, y));
    });
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn has_the_bits_of_the_expanded_matrix(case in cases()) {
        check(&case);
    }

    #[test]
    fn rows_are_those_of_the_matrix(case in cases()) {
        let Case { n, k, .. } = case;
        with_blocks(&case, |blocks| {
            let expected = reference::dequantize_blocks(blocks, n, k);
            let mut row = vec![0.0; k];
            for j in 0..n {
                dequantize_row(blocks, k, j, &mut row);
                assert_each(&row, &expected[j * k..][..k], |_, x, y| identical(x, y));
            }
        });
    }

    /// What is checked against may come from a file.
    #[test]
    fn lengths_do_not_overflow(
        code in prop::sample::select(&CODES[..]),
        n in any::<usize>(),
        k in any::<usize>(),
        block in prop_oneof![any::<usize>(), 0..64usize],
    ) {
        let lens = [code.codes_len(n, k, block), code.scales_len(n, k, block), code.zero_points_len(n, k, block)];
        if !code.supports_block(k, block) {
            assert_eq!(lens, [usize::MAX; 3]);
        }
    }
}

#[test]
fn has_the_bits_of_the_expanded_matrix_across_blocks_of_rows() {
    for code in CODES {
        check(&Case { m: 70, n: 19, k: 1100, code, block: 32, zero: 1, dtype: 1, poison: false, seed: 1 });
    }
}

#[test]
fn lengths_are_those_of_the_operators() {
    // Ten elements fill a block of 16: four bytes of 2 bits each.
    assert_eq!(Code::Uint2.codes_len(3, 10, 16), 12);
    assert_eq!(Code::Uint4.codes_len(3, 40, 32), 3 * 2 * 16);
    assert_eq!(Code::Uint4.scales_len(3, 40, 32), 6);
    // Three zero points of 4 bits take two bytes in each row.
    assert_eq!(Code::Uint4.zero_points_len(3, 90, 32), 6);
    // Rows of any length share a scale: of 4 bits, they are whole bytes.
    assert_eq!(Code::Int4.codes_len(3, 45, 45), 3 * 23);
    assert_eq!(Code::Uint16.codes_len(3, 45, 45), 3 * 90);
    assert_eq!(Code::Int4.scales_len(3, 45, 45), 3);
    assert_eq!(Code::Uint16.zero_points_len(3, 45, 45), 6);
    assert_eq!(Code::Nf4.codes_len(3, 11, 16), 17);
    assert_eq!(Code::Nf4.scales_len(3, 11, 16), 3);
    assert_eq!(Code::Uint8.codes_len(usize::MAX / 2, 3, 16), usize::MAX);
}

#[test]
#[should_panic(expected = "blocks of this size are not supported")]
fn an_odd_block_panics() {
    let blocks = Blocks {
        code: Code::Uint4,
        block: 48,
        codes: &[0; 24],
        scales: Numbers::Single(&[0.0]),
        zero_points: Zero::Implied,
    };
    gemm_blocks::gemm(1, 1, 12, &[0.0; 12], 12, &blocks, &mut [0.0], 1, &Epilogue::default(), &mut [0.0; 384]);
}

#[test]
#[should_panic(expected = "codes has the wrong length")]
fn short_codes_panic() {
    let blocks = Blocks {
        code: Code::Uint4,
        block: 16,
        codes: &[0; 7],
        scales: Numbers::Single(&[0.0]),
        zero_points: Zero::Implied,
    };
    gemm_blocks::gemm(1, 1, 16, &[0.0; 16], 16, &blocks, &mut [0.0], 1, &Epilogue::default(), &mut [0.0; 512]);
}

#[test]
#[should_panic(expected = "zero_points has the wrong length")]
fn zero_points_of_levels_panic() {
    let blocks = Blocks {
        code: Code::Nf4,
        block: 16,
        codes: &[0; 8],
        scales: Numbers::Single(&[0.0]),
        zero_points: Zero::Floats(Numbers::Single(&[0.0])),
    };
    gemm_blocks::gemm(1, 1, 16, &[0.0; 16], 16, &blocks, &mut [0.0], 1, &Epilogue::default(), &mut [0.0; 512]);
}

#[test]
#[should_panic(expected = "row is out of range")]
fn a_row_behind_the_last_panics() {
    let blocks = Blocks {
        code: Code::Uint4,
        block: 16,
        codes: &[0; 8],
        scales: Numbers::Single(&[0.0]),
        zero_points: Zero::Implied,
    };
    dequantize_row(&blocks, 16, 1, &mut [0.0; 16]);
}
