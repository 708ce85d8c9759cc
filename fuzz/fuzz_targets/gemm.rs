//! The packed product equals the naive one on integers small enough to be exact in f32.
#![no_main]

use fourlane_kernels::gemm::{Epilogue, gemm, pack_b, packed_len};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [m, n, k, rest @ ..] = data else { return };
    let [m, n, k] = [m, n, k].map(|&d| usize::from(d) % 40);
    let number = |i: usize| rest.get(i % rest.len().max(1)).map_or(1.0, |&b| f32::from(b as i8));
    let a: Vec<f32> = (0..m * k).map(number).collect();
    let b: Vec<f32> = (0..k * n).map(|i| number(i + 7)).collect();
    let (mut packed, mut c) = (vec![0.0; packed_len(k, n)], vec![f32::NAN; m * n]);
    pack_b(k, n, &b, n, 1, &mut packed);
    gemm(m, n, k, &a, k, &packed, &mut c, n, &Epilogue::default());
    for i in 0..m * n {
        let sum: f32 = (0..k).map(|l| a[i / n * k + l] * b[l * n + i % n]).sum();
        assert_eq!(c[i], sum);
    }
});
