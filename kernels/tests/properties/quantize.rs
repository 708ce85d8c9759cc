use crate::{Noise, config};
use fourlane_kernels::quantize::*;
use fourlane_kernels::reference;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn dynamic_quantization_is_exact(
        len in 0..=70usize,
        range in prop_oneof![Just(0.0f32), Just(1.0), Just(1e-3), Just(1e30), Just(1e-44)],
        shift in prop_oneof![Just(0.0f32), Just(1.0), Just(-1.0), Just(100.0)],
        poison: bool,
        seed: u64,
    ) {
        let mut noise = Noise::new(seed);
        let mut x = noise.floats(len);
        x.iter_mut().for_each(|x| *x = *x * range + shift * range);
        if poison {
            noise.poison(&mut x);
        }
        let mut out = vec![77; len];
        let (scale, zero_point) = dynamic_quantize(&x, &mut out);
        let expected = reference::dynamic_quantize(&x, 255);
        prop_assert_eq!((scale.to_bits(), zero_point), (expected.1.to_bits(), expected.2));
        prop_assert_eq!(out, expected.0);
    }

    #[test]
    fn quantization_is_exact(
        len in 0..=70usize,
        scale in prop_oneof![Just(0.01f32), Just(1.0), Just(0.5), Just(1e-30)],
        zero_point: u8,
        poison: bool,
        seed: u64,
    ) {
        let mut noise = Noise::new(seed);
        // Halves, so that ties occur.
        let mut x: Vec<f32> = noise.floats(len).iter().map(|x| (x * 500.0).round() * 0.5 * scale).collect();
        if poison {
            noise.poison(&mut x);
        }
        let mut out = vec![77; len];
        quantize_u8(&x, scale, zero_point, &mut out);
        let zero = zero_point.into();
        let expected: Vec<u8> = x.iter().map(|&x| reference::quantize(x, scale, zero, 0, 255) as u8).collect();
        prop_assert_eq!(&out, &expected);
        let mut signed = vec![77; len];
        quantize_i8(&x, scale, zero_point as i8, &mut signed);
        let zero = (zero_point as i8).into();
        let expected: Vec<i8> = x.iter().map(|&x| reference::quantize(x, scale, zero, -128, 127) as i8).collect();
        prop_assert_eq!(&signed, &expected);
    }
}

#[test]
fn the_onnx_example() {
    let x = [0.0, 2.0, -3.0, -2.5, 1.34, 0.5];
    let mut out = [0; 6];
    let (scale, zero_point) = dynamic_quantize(&x, &mut out);
    assert!((scale - 0.019_607_844).abs() < 1e-9);
    assert_eq!((zero_point, out), (153, [153, 255, 0, 26, 221, 179]));
}

#[test]
fn ties_go_to_even() {
    let mut out = [0; 6];
    quantize_i8(&[0.5, 1.5, 2.5, -0.5, -1.5, -2.5], 1.0, 0, &mut out);
    assert_eq!(out, [0, 2, 2, 0, -2, -2]);
}

#[test]
fn dequantization_subtracts_then_scales() {
    let mut out = [0.0; 3];
    dequantize_u8(&[0, 128, 255], 0.5, 128, &mut out);
    assert_eq!(out, [-64.0, 0.0, 63.5]);
    dequantize_i8(&[-128, 0, 127], 2.0, -128, &mut out);
    assert_eq!(out, [0.0, 256.0, 510.0]);
    dequantize_i32(&[i32::MIN, 0, 7], 1.0, 7, &mut out);
    assert_eq!(out, [2_147_483_648.0, -7.0, 0.0]);
}
