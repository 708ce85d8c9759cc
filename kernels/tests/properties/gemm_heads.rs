use crate::{Noise, assert_each, close, config, identical};
use fourlane_kernels::gemm::{pack_b, packed_len};
use fourlane_kernels::gemm_heads;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn are_the_products_of_each_head(
        (rows, heads, dim, k) in (1..=4usize, 1..=5usize, 1..=9usize, 1..=12usize),
        biased: bool,
        seed: u64,
    ) {
        let (dim, k) = (4 * dim, 4 * k);
        let (mut noise, n) = (Noise::new(seed), heads * dim);
        let (q, w, bias) = (noise.floats(rows * n), noise.floats(k * n), noise.floats(n));
        let mut packed = vec![0.0; packed_len(k, n)];
        pack_b(k, n, &w, n, 1, &mut packed);

        let mut y = vec![f32::NAN; rows * heads * k];
        gemm_heads::transposed(rows, heads, dim, k, &q, &packed, &mut y);
        let bias = biased.then_some(&bias[..]);
        let mut out = vec![f32::NAN; rows * n];
        gemm_heads::gemm(rows, heads, dim, k, &y, &packed, bias, &mut out);
        let dot = |len: usize, product: &dyn Fn(usize) -> f32| (0..len).map(|i| f64::from(product(i))).sum::<f64>() as f32;
        for (i, &y) in y.iter().enumerate() {
            let (row, head, l) = (i / k / heads, i / k % heads, i % k);
            let expected = dot(dim, &|c| q[row * n + head * dim + c] * w[l * n + head * dim + c]);
            assert!(close(y, expected, 1e-4), "{y} for {expected}");
        }
        for (i, &out) in out.iter().enumerate() {
            let (row, c) = (i / n, i % n);
            let expected = dot(k, &|l| y[(row * heads + c / dim) * k + l] * w[l * n + c]) + bias.map_or(0.0, |b| b[c]);
            assert!(close(out, expected, 1e-3), "{out} for {expected}");
        }
        // A row has the same bits whatever the others are.
        for row in 0..rows {
            let mut alone = vec![f32::NAN; heads * k];
            gemm_heads::transposed(1, heads, dim, k, &q[row * n..][..n], &packed, &mut alone);
            assert_each(&alone, &y[row * heads * k..][..heads * k], |_, x, y| identical(x, y));
            let mut last = vec![f32::NAN; n];
            gemm_heads::gemm(1, heads, dim, k, &alone, &packed, bias, &mut last);
            assert_each(&last, &out[row * n..][..n], |_, x, y| identical(x, y));
        }
    }
}
