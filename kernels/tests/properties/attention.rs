use crate::{Noise, assert_each, close, config};
use fourlane_kernels::attention::{Mask, Rows, Shape, attention, scratch_len};
use fourlane_kernels::reference;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Masking {
    None,
    Padding(f32),
    PerQuery(f32),
    /// One number for all keys of a query.
    OneEach(f32),
}

fn run(shape: &Shape, q: Rows, k: Rows, v: Rows, mask: Option<Mask>, out_stride: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; shape.seq_q * out_stride];
    let mut scratch = vec![f32::NAN; scratch_len(shape)];
    attention(shape, q, k, v, mask, &mut out, out_stride, &mut scratch);
    (0..shape.seq_q).flat_map(|i| out[i * out_stride..][..shape.v_dim].to_vec()).collect()
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn matches_reference(
        (seq_q, seq_k, head_dim, v_dim) in (0..=40usize, 0..=70usize, 0..=70usize, 0..=40usize),
        slack in proptest::array::uniform4(0..9usize),
        masking in prop_oneof![
            Just(Masking::None),
            Just(Masking::Padding(f32::NEG_INFINITY)),
            Just(Masking::Padding(f32::MIN)),
            Just(Masking::PerQuery(f32::NEG_INFINITY)),
            Just(Masking::PerQuery(-10000.0)),
            Just(Masking::OneEach(f32::NEG_INFINITY)),
            Just(Masking::OneEach(f32::MIN)),
        ],
        seed: u64,
    ) {
        let mut noise = Noise::new(seed);
        let shape = Shape { seq_q, seq_k, head_dim, v_dim, scale: 0.3 };
        let strides = [head_dim + slack[0], head_dim + slack[1], v_dim + slack[2]];
        let q = noise.floats(seq_q * strides[0]);
        let k = noise.floats(seq_k * strides[1]);
        let v = noise.floats(seq_k * strides[2]);
        let rows = |data, stride| Rows { data, stride };
        let (q, k, v) = (rows(&q, strides[0]), rows(&k, strides[1]), rows(&v, strides[2]));
        let mut hide = |hidden: f32, len: usize| {
            (0..len).map(|_| if noise.below(3) == 0 { 0.0 } else { hidden }).collect::<Vec<_>>()
        };
        let (mask, row_stride) = match masking {
            Masking::None => (vec![], 0),
            Masking::Padding(hidden) => (hide(hidden, seq_k), 0),
            Masking::PerQuery(hidden) => (hide(hidden, seq_q * (seq_k + 2)), seq_k + 2),
            Masking::OneEach(hidden) => (hide(hidden, seq_q * 2), 2),
        };
        let mask = match masking {
            Masking::None => None,
            _ => Some(Mask { data: &mask, row_stride, one_each: matches!(masking, Masking::OneEach(_)) }),
        };
        let out = run(&shape, q, k, v, mask, v_dim + slack[3]);
        // Where every key of a query is hidden by -10000, the sums keep three decimals of the scores, and these decide.
        let tolerance = if matches!(masking, Masking::PerQuery(-10000.0)) { 2e-3 } else { 1e-5 };
        assert_each(&out, &reference::attention(&shape, q, k, v, mask), |_, x, y| close(x, y, tolerance));
    }
}

#[test]
fn a_query_that_sees_nothing_gives_zeros() {
    let shape = Shape { seq_q: 2, seq_k: 3, head_dim: 1, v_dim: 2, scale: 1.0 };
    let ones = Rows { data: &[1.0; 6], stride: 1 };
    let hidden = f32::NEG_INFINITY;
    let mask = Mask { data: &[hidden, hidden, hidden, hidden, 0.0, hidden], row_stride: 3, one_each: false };
    let v = Rows { data: &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], stride: 2 };
    assert_eq!(run(&shape, ones, ones, v, Some(mask), 2), [0.0, 0.0, 3.0, 4.0]);
}

#[test]
fn the_lowest_float_hides_by_addition() {
    let shape = Shape { seq_q: 1, seq_k: 2, head_dim: 1, v_dim: 1, scale: 1.0 };
    let (q, k) = (Rows { data: &[1.0], stride: 1 }, Rows { data: &[5.0, -5.0], stride: 1 });
    let v = Rows { data: &[1.0, 3.0], stride: 1 };
    let hide = |mask: [f32; 2]| run(&shape, q, k, v, Some(Mask { data: &mask, row_stride: 0, one_each: false }), 1);
    assert_eq!(hide([f32::MIN, f32::MIN]), [2.0], "all keys hidden weigh the same");
    assert_eq!(hide([f32::MIN, 0.0]), [3.0]);
}

#[test]
fn scores_too_large_for_an_exponential_are_fine() {
    let shape = Shape { seq_q: 1, seq_k: 2, head_dim: 1, v_dim: 1, scale: 1.0 };
    let (q, k) = (Rows { data: &[1000.0], stride: 1 }, Rows { data: &[1000.0, 999.0], stride: 1 });
    assert_eq!(run(&shape, q, k, Rows { data: &[1.0, 3.0], stride: 1 }, None, 1), [1.0]);
}
