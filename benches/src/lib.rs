//! What the benchmarks share: numbers to compute with, models of real size, and the speed limit of the machine.

pub mod models;
pub mod peak;
pub mod product;
pub mod profile;
mod wire;

use fourlane_kernels::gemm;

/// Numbers in -1..1 without a pattern and without denormals, which would be slow.
pub fn noise(count: usize) -> Vec<f32> {
    let number = |i: usize| {
        let x = (i as u32).wrapping_mul(2654435761).rotate_left(13).wrapping_mul(2246822519);
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(number).collect()
}

/// `b` of shape `[k, n]` in the panels of the GEMM kernel.
pub fn packed(k: usize, n: usize, b: &[f32]) -> Vec<f32> {
    let mut panels = vec![0.0; gemm::packed_len(k, n)];
    gemm::pack_b(k, n, b, n, 1, &mut panels);
    panels
}
