//! Every kernel against its oracle in [`fourlane_kernels::reference`], on the instruction set of the build.
//!
//! One binary for all kernels, so that the same suite is built and run once per instruction set: natively (`scalar`),
//! and for `wasm32-wasip1` with `+simd128` and with `+simd128,+relaxed-simd`.

mod attention;
mod binary;
mod data_movement;
mod gemm;
mod gemm_blocks;
mod gemm_half;
mod gemm_heads;
mod gemm_int8;
mod literal;
mod normalization;
mod quantize;
mod reduce;
#[cfg(feature = "threads")]
mod threads;
mod unary;

use proptest::prelude::*;

/// Cases are whole tensors, so a few go a long way; WASI has no place to persist failures in.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Deterministic test data: shrinking works on shapes and this seed, not on thousands of elements.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Noise(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn bits(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An index below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    /// A number in -2..2.
    fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 22) as f32 - 2.0
    }

    fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.float()).collect()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.bits() as u8).collect()
    }

    /// Puts NaN, infinities and denormal numbers in a few places.
    fn poison(&mut self, x: &mut [f32]) {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-45, -0.0];
        for _ in 0..x.len().min(3) {
            let at = self.below(x.len());
            x[at] = special[self.below(special.len())];
        }
    }
}

/// Both NaN, the same infinity, or finite and no further apart than `tolerance`.
fn close(actual: f32, expected: f32, tolerance: f32) -> bool {
    if expected.is_finite() { (actual - expected).abs() <= tolerance } else { same(actual, expected) }
}

/// Equal, or both NaN.
fn same(a: f32, b: f32) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// The same bits, or both NaN, whose bits differ from engine to engine.
fn identical(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Fails with the first index at which `ok` is false.
#[track_caller]
fn assert_each<T: Copy + std::fmt::Debug>(actual: &[T], expected: &[T], ok: impl Fn(usize, T, T) -> bool) {
    assert_eq!(actual.len(), expected.len());
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        assert!(ok(i, a, e), "element {i}: {a:?}, expected {e:?}");
    }
}
