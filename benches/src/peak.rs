//! The speed limit: loops that only compute, in registers, without a load or store, on four lanes as the kernels do.
//!
//! Each loop has twelve independent chains of `x = x * a + b`, more than the latency of any current core times its two
//! ports, and leaves registers for the factors. What a product of matrices reaches is stated as a fraction of the
//! fastest float loop of the build; integer products as a fraction of twice that, which is what eight-bit lanes can do at
//! best where sixteen-bit products are summed. (`cargo xtask bench --peers` states all as fractions of the fused
//! multiply-add, which builds without relaxed SIMD do not have.)

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Chains in a loop.
const CHAINS: usize = 12;

/// One loop.
pub struct Probe {
    /// Its instruction.
    pub name: &'static str,
    /// Whether it computes in floats.
    pub float: bool,
    /// Multiplications and additions in a round.
    pub operations: f64,
    /// Does rounds; what it returns has no meaning.
    pub run: fn(rounds: u32) -> f32,
}

impl Probe {
    /// Operations per second: the best of many short looks.
    pub fn rate(&self) -> f64 {
        const ROUNDS: u32 = 20_000;
        let mut best = f64::INFINITY;
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            let start = Instant::now();
            black_box((self.run)(black_box(ROUNDS)));
            best = best.min(start.elapsed().as_secs_f64());
        }
        self.operations * f64::from(ROUNDS) / best
    }
}

/// All loops that this build and machine have.
pub fn probes() -> Vec<Probe> {
    let per_chain = |operations: usize| (CHAINS * operations) as f64;
    #[allow(unused_mut)] // where there is nothing to add
    let mut all = vec![Probe { name: "mul + add", float: true, operations: per_chain(8), run: lanes::mul_add }];
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    all.push(Probe { name: "i16 dot", float: false, operations: per_chain(16), run: lanes::dot_i16 });
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    {
        all.push(Probe { name: "fma", float: true, operations: per_chain(8), run: lanes::fma });
        all.push(Probe { name: "i8 dot", float: false, operations: per_chain(32), run: lanes::dot_i8 });
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("fma") {
        all.push(Probe { name: "fma", float: true, operations: per_chain(8), run: lanes::fma });
    }
    all
}

/// Float operations per second of the fastest loop, told on standard error with the others'.
pub fn float_peak() -> f64 {
    let mut peak: f64 = 0.0;
    for probe in probes() {
        let rate = probe.rate();
        eprintln!("peak: {:<10} {:>6.1} {}", probe.name, rate / 1e9, if probe.float { "GFLOP/s" } else { "GOP/s" });
        peak = if probe.float { peak.max(rate) } else { peak };
    }
    peak
}

/// Factors that the compiler does not know, and that let nothing grow or become denormal.
fn factors() -> (f32, f32) {
    (black_box(0.999), black_box(0.001))
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod lanes {
    use super::{CHAINS, factors};
    use std::arch::wasm32::*;
    use std::hint::black_box;

    fn chains(rounds: u32, start: v128, step: impl Fn(v128) -> v128) -> f32 {
        let mut x = [start; CHAINS];
        for _ in 0..rounds {
            for x in &mut x {
                *x = step(*x);
            }
        }
        f32x4_extract_lane::<0>(x.into_iter().fold(start, |a, b| v128_xor(a, b)))
    }

    pub fn mul_add(rounds: u32) -> f32 {
        let (a, b) = factors();
        let (a, b) = (f32x4_splat(a), f32x4_splat(b));
        chains(rounds, b, |x| f32x4_add(f32x4_mul(x, a), b))
    }

    pub fn dot_i16(rounds: u32) -> f32 {
        let a = i16x8_splat(black_box(3));
        chains(rounds, a, |x| i32x4_add(i32x4_dot_i16x8(x, a), x))
    }

    #[cfg(target_feature = "relaxed-simd")]
    pub fn fma(rounds: u32) -> f32 {
        let (a, b) = factors();
        let (a, b) = (f32x4_splat(a), f32x4_splat(b));
        chains(rounds, b, |x| f32x4_relaxed_madd(x, a, b))
    }

    #[cfg(target_feature = "relaxed-simd")]
    pub fn dot_i8(rounds: u32) -> f32 {
        // Of x itself, or the engine would find that the product is always the same.
        let a = i8x16_splat(black_box(3));
        chains(rounds, a, |x| i32x4_relaxed_dot_i8x16_i7x16_add(x, a, x))
    }
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    use super::{CHAINS, factors};
    use std::arch::x86_64::*;

    fn sum(x: [__m128; CHAINS]) -> f32 {
        // SAFETY: every x86-64 has SSE.
        unsafe { _mm_cvtss_f32(x.into_iter().fold(_mm_setzero_ps(), |a, b| _mm_add_ps(a, b))) }
    }

    pub fn mul_add(rounds: u32) -> f32 {
        let (a, b) = factors();
        // SAFETY: every x86-64 has SSE.
        unsafe {
            let (a, b) = (_mm_set1_ps(a), _mm_set1_ps(b));
            let mut x = [b; CHAINS];
            for _ in 0..rounds {
                for x in &mut x {
                    *x = _mm_add_ps(_mm_mul_ps(*x, a), b);
                }
            }
            sum(x)
        }
    }

    pub fn fma(rounds: u32) -> f32 {
        // SAFETY: `probes` has asked the processor.
        unsafe { with_fma(rounds) }
    }

    /// # Safety
    /// The processor must have FMA.
    #[target_feature(enable = "fma")]
    unsafe fn with_fma(rounds: u32) -> f32 {
        let (a, b) = factors();
        let (a, b) = (_mm_set1_ps(a), _mm_set1_ps(b));
        let mut x = [b; CHAINS];
        for _ in 0..rounds {
            for x in &mut x {
                *x = _mm_fmadd_ps(*x, a, b);
            }
        }
        sum(x)
    }
}

#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
mod lanes {
    use super::{CHAINS, factors};

    /// Arrays, which the compiler vectorises, as it does those of the kernels.
    pub fn mul_add(rounds: u32) -> f32 {
        let (a, b) = factors();
        let mut x = [[b; 4]; CHAINS];
        for _ in 0..rounds {
            for x in x.as_flattened_mut() {
                *x = *x * a + b;
            }
        }
        x.as_flattened().iter().sum()
    }
}
