//! Softmax and layer normalisation.

use crate::{Noise, assert_each, close, config, same};
use fourlane_kernels::layer_norm::{layer_norm, layer_norm_in_place};
use fourlane_kernels::reference;
use fourlane_kernels::softmax::softmax;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn softmax_matches_reference(
        rows in 0..5usize,
        cols in 0..=70usize,
        range in prop_oneof![Just(1.0f32), Just(50.0), Just(1e30)],
        poison: bool,
        misalignment in 0..4usize,
        seed: u64,
    ) {
        let mut noise = Noise::new(seed);
        let mut x = noise.floats(misalignment + rows * cols);
        x.iter_mut().for_each(|x| *x *= range);
        if poison {
            noise.poison(&mut x);
        }
        let mut expected = x[misalignment..].to_vec();
        reference::softmax(&mut expected, rows, cols);
        softmax(&mut x[misalignment..], rows, cols);
        assert_each(&x[misalignment..], &expected, |_, x, y| close(x, y, 1e-7 + 1e-6 * y));
    }

    #[test]
    fn layer_norm_matches_reference(
        rows in 0..5usize,
        cols in 0..=70usize,
        mean in prop_oneof![Just(0.0f32), Just(3.0), Just(-100.0)],
        (with_scale, with_bias) in any::<(bool, bool)>(),
        poison: bool,
        misalignment in 0..4usize,
        seed: u64,
    ) {
        let mut noise = Noise::new(seed);
        let mut x = noise.floats(misalignment + rows * cols);
        x.iter_mut().for_each(|x| *x += mean);
        if poison {
            noise.poison(&mut x);
        }
        let x = &x[misalignment..];
        let (scale, bias) = (noise.floats(cols), noise.floats(cols));
        let (scale, bias) = (with_scale.then_some(&scale[..]), with_bias.then_some(&bias[..]));
        let mut out = vec![0.0; rows * cols];
        layer_norm(x, &mut out, rows, cols, scale, bias, 1e-5);
        let expected = reference::layer_norm(x, rows, cols, scale, bias, 1e-5);
        // The mean is rounded relative to itself, and a small deviation magnifies that.
        let tolerance = if cols < 8 { 2e-3 } else { 1e-6 * (4.0 + mean.abs()) };
        assert_each(&out, &expected, |_, x, y| close(x, y, tolerance * (1.0 + y.abs())));

        let mut in_place = x.to_vec();
        layer_norm_in_place(&mut in_place, rows, cols, scale, bias, 1e-5);
        assert_each(&in_place, &out, |_, x, y| same(x, y));
    }
}

#[test]
fn softmax_of_a_hidden_row_is_zero() {
    for cols in 1..10 {
        let mut x = vec![f32::NEG_INFINITY; cols];
        softmax(&mut x, 1, cols);
        assert_eq!(x, vec![0.0; cols]);
    }
}

#[test]
fn softmax_keeps_nan_even_in_a_hidden_row() {
    let mut x = [f32::NEG_INFINITY, f32::NAN, f32::NEG_INFINITY, 1.0, 1.0, 1.0];
    softmax(&mut x, 2, 3);
    assert!(x[..3].iter().all(|x| x.is_nan()));
    assert!(x[3..].iter().all(|x| (x - 1.0 / 3.0).abs() < 1e-7));
}
