//! The float operators for sessions that follow a graph to the letter: every element has the bits that onnxruntime gives
//! on x86-64 with AVX-512, whatever the instruction set here.
//!
//! Where activations are quantised dynamically, the last bit of a float decides now and then about a byte, and one byte
//! about many more further on: to come close is not enough, and to be more exact does not help. So the order of
//! additions and the polynomials are those of onnxruntime 1.32 (MLAS, and Eigen for means, see `reduce.rs`), and each of
//! its fused multiply-adds is computed as one, see `FloatVector::fused_mul_add`. That goes through `f64` and takes
//! several times as long as the kernels of the other modules, which is why this is a mode of its own.
//!
//! Found by comparison, operator by operator: equal bits on 10^5 random arguments (`erf`, `tanh`) and on random matrices,
//! with two exceptions. Results below 2^-126 become zero, and products of a single row have the order of others.
//!
//! But for the innermost loops of products everything here is `#[inline]`, so that it is compiled, for size, with the
//! crate that calls it.

use crate::arch::{F32x4, I32x4};
use crate::epilogue::Epilogue;
use crate::gemm::{NR, Panels, packed_len};
use crate::slices::{load, starts, store};
use crate::unary::{self, UnaryOp};
use crate::vector::{FloatVector, IntVector, LANES, span};
use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// [`gemm`](crate::gemm::gemm): a chain of fused multiply-adds along each `depth` elements of `k`, then the sum of these.
///
/// # Panics
/// As there.
#[inline]
pub fn gemm(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_stride: usize,
    packed_b: &[f32],
    c: &mut [f32],
    c_stride: usize,
    epilogue: &Epilogue,
    depth: usize,
) {
    assert!(packed_b.len() == packed_len(k, n), "gemm: packed_b has the wrong length");
    gemm_panels(m, n, k, a, a_stride, Panels::Packed(packed_b), &mut [], c, c_stride, epilogue, depth);
}

/// [`gemm`] with panels of B from anywhere.
#[inline(never)]
pub(crate) fn gemm_panels(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_stride: usize,
    b: Panels,
    scratch: &mut [f32],
    c: &mut [f32],
    c_stride: usize,
    epilogue: &Epilogue,
    depth: usize,
) {
    assert!(a.len() >= span(m, k, a_stride), "gemm: a is too short");
    assert!(c.len() >= span(m, n, c_stride), "gemm: c is too short");
    assert!(m <= 1 || c_stride >= n, "gemm: rows of c overlap");
    epilogue.check(m, n);
    let depth = depth.max(1);
    for j in (0..n).step_by(NR) {
        let panel = b.take(k, j, 1, scratch).as_chunks().0;
        for i in (0..m).step_by(ROWS) {
            // A row that is missing at the end is computed twice.
            let last = (i + 1).min(m - 1);
            let mut tile = [[F32x4::splat(0.0); VECTORS]; ROWS];
            for l in (0..k).step_by(depth) {
                let end = k.min(l + depth);
                let part = |r: usize| &a[r * a_stride + l..r * a_stride + end];
                let sums = chain(part(i), part(last), &panel[l..end]);
                for r in 0..ROWS {
                    for v in 0..VECTORS {
                        tile[r][v] = if l == 0 { sums[r][v] } else { tile[r][v] + sums[r][v] };
                    }
                }
            }
            for r in 0..ROWS {
                let c = &mut c[[i, last][r] * c_stride + j..][..NR.min(n - j)];
                for at in starts(c.len()) {
                    store(c, at, tile[r][at / LANES]);
                }
            }
        }
    }
    if !epilogue.is_identity() && m > 0 {
        epilogue.apply(&mut crate::parallel::Grid::new(c, c_stride), 0, m, 0, n);
    }
}

/// Rows that are computed together, so that one chain does not wait for itself.
const ROWS: usize = 2;
const VECTORS: usize = NR / LANES;

/// Products of two rows with a panel.
#[inline(never)]
fn chain(a: &[f32], b: &[f32], panel: &[[f32; NR]]) -> [[F32x4; VECTORS]; ROWS] {
    let mut sums = [[F32x4::splat(0.0); VECTORS]; ROWS];
    for ((columns, a), b) in panel.iter().zip(a).zip(b) {
        for r in 0..ROWS {
            let x = F32x4::splat([*a, *b][r]);
            for v in 0..VECTORS {
                sums[r][v] = x.fused_mul_add(F32x4::from_array(columns.as_chunks().0[v]), sums[r][v]);
            }
        }
    }
    sums
}

/// How many elements of `k` onnxruntime adds in one chain where the second operand, `[k, n]`, is not a constant.
pub fn depth(k: usize, n: usize) -> usize {
    match n {
        _ if n >= k => 128,
        0..=16 => 1024,
        17..=32 => 512,
        33..=64 => 256,
        _ => 128,
    }
}

/// The same where it is a constant.
pub const CONSTANT_DEPTH: usize = 256;

/// How mean and variance of a row are computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Moments {
    /// The mean in `f64`, then the squares, in eight sums: `LayerNormalization`.
    #[default]
    Wide,
    /// Both in one pass, corrected by each element (Welford): `SkipLayerNormalization`.
    Running,
    /// One after the other: `EmbedLayerNormalization`.
    Sequential,
}

/// [`layer_norm_in_place`](crate::layer_norm::layer_norm_in_place) as one of onnxruntime's operators has it.
///
/// # Panics
/// As there.
#[inline]
pub fn layer_norm_in_place(
    x: &mut [f32],
    rows: usize,
    cols: usize,
    scale: Option<&[f32]>,
    bias: Option<&[f32]>,
    epsilon: f32,
    moments: Moments,
) {
    crate::layer_norm::check(x, rows, cols, scale, bias);
    for row in x.chunks_exact_mut(cols.max(1)) {
        let (mean, variance) = moments.of(row);
        let (center, deviation) = (F32x4::splat(mean), F32x4::splat((variance + epsilon).sqrt()));
        let reciprocal = F32x4::splat(1.0) / deviation;
        for at in starts(row.len()) {
            let y = load(row, at, mean) - center;
            let scale = scale.map_or(F32x4::splat(1.0), |scale| load(scale, at, 1.0));
            // Adding this zero changes nothing.
            let bias = bias.map_or(F32x4::splat(-0.0), |bias| load(bias, at, 0.0));
            let y = match moments {
                Moments::Wide => fused(y * reciprocal, scale, bias),
                _ => y / deviation * scale + bias,
            };
            store(row, at, y);
        }
    }
}

impl Moments {
    #[inline]
    fn of(self, row: &[f32]) -> (f32, f32) {
        let len = row.len() as f32;
        match self {
            Moments::Wide => {
                let mut sum = 0.0;
                for &x in row {
                    sum += f64::from(x);
                }
                let mean = (sum / f64::from(len)) as f32;
                let mut sums = [F32x4::splat(0.0); 2];
                for at in starts(row.len()) {
                    let y = load(row, at, mean) - F32x4::splat(mean);
                    let sum = &mut sums[at / LANES % 2];
                    *sum = fused(y, y, *sum);
                }
                let [a, b, c, d] = (sums[0] + sums[1]).to_array();
                (mean, ((a + c) + (b + d)) / len)
            }
            Moments::Running => {
                let (mut mean, mut squares) = (0.0, 0.0);
                for (i, x) in row.iter().enumerate() {
                    let difference = x - mean;
                    mean += difference / (i + 1) as f32;
                    squares += difference * (x - mean);
                }
                (mean, squares / len)
            }
            Moments::Sequential => {
                let (mut sum, mut squares) = (0.0, 0.0);
                for x in row {
                    sum += x;
                }
                let mean = sum / len;
                for x in row {
                    squares += (x - mean) * (x - mean);
                }
                (mean, squares / len)
            }
        }
    }
}

/// [`softmax`](crate::softmax::softmax), rows without any finite number included.
///
/// # Panics
/// As there.
#[inline]
pub fn softmax(x: &mut [f32], rows: usize, cols: usize) {
    assert!(Some(x.len()) == rows.checked_mul(cols), "softmax: x is not [rows, cols]");
    for row in x.chunks_exact_mut(cols.max(1)) {
        let mut largest = f32::NEG_INFINITY;
        for &x in &*row {
            largest = if largest < x { x } else { largest };
        }
        if largest == f32::NEG_INFINITY {
            crate::softmax::softmax(row, 1, cols);
            continue;
        }
        let largest = F32x4::splat(largest);
        let mut sums = [F32x4::splat(0.0); 4];
        for at in starts(row.len()) {
            let y = exp(load(row, at, f32::NEG_INFINITY) - largest, &SOFTMAX_EXP);
            let sum = &mut sums[at / LANES % 4];
            *sum = *sum + y;
            store(row, at, y);
        }
        let ([a, b, c, d], [e, f, g, h]) = ((sums[0] + sums[2]).to_array(), (sums[1] + sums[3]).to_array());
        let reciprocal = 1.0 / (((a + b) + (c + d)) + ((e + f) + (g + h)));
        for x in row {
            *x *= reciprocal;
        }
    }
}

/// [`unary::apply`].
#[inline]
pub fn apply(op: UnaryOp, x: &mut [f32]) {
    let f = match op {
        UnaryOp::Erf => erf,
        UnaryOp::Tanh => tanh,
        UnaryOp::Gelu => gelu,
        UnaryOp::GeluTanh => gelu_tanh,
        _ => return unary::apply(op, x),
    };
    unary::each(x, f);
}

/// [`FloatVector::fused_mul_add`], once in the binary.
#[inline(never)]
fn fused(a: F32x4, b: F32x4, c: F32x4) -> F32x4 {
    a.fused_mul_add(b, c)
}

/// A polynomial at `x`, coefficients of high powers first.
#[inline]
fn polynomial(x: F32x4, coefficients: &[f32]) -> F32x4 {
    let mut sum = F32x4::splat(0.0);
    for &c in coefficients {
        sum = fused(sum, x, F32x4::splat(c));
    }
    sum
}

/// `1.5 * 2^23`
const ROUND: f32 = 12_582_912.0;
const LN_2_HIGH: f32 = 0.693_145_75;
const LN_2_LOW: f32 = 1.428_606_8e-6;

const SOFTMAX_EXP: [f32; 7] = [0.001_378_059_4, 0.008_373_124_5, 0.041_669_536, 0.166_664_72, 0.499_999_85, 1.0, 1.0];
const ERF_EXP: [f32; 7] = [0.001_383_198_1, 0.008_375_5, 0.041_668_95, 0.166_664_47, 0.499_999_85, 1.0, 1.0];
/// Of `x^2`: `erf x / x - 1` up to [`ERF_SPLIT`].
const ERF_NEAR: [f32; 6] = [-5.991_049_7e-4, 4.993_396e-3, -2.676_673_4e-2, 0.112_818_025, -0.376_124_86, 0.128_379_15];
/// `-ln(1 - erf x) / x - 1` beyond.
const ERF_FAR: [f32; 7] =
    [1.729_489_3e-5, -3.832_086_8e-4, 3.883_934_3e-3, -2.425_456e-2, 0.106_777_85, 0.634_846_7, 0.128_717_51];
const ERF_SPLIT: f32 = 0.921_875;
const TANH_ABOVE: [f32; 7] =
    [-2.760_768_4e-16, 2.000_188e-13, -8.604_672e-11, 5.122_297_3e-8, 1.485_722_35e-5, 6.372_619_5e-4, 4.893_524_5e-3];
const TANH_BELOW: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3];

/// `e^x` for `x <= 0`.
#[inline]
fn exp(x: F32x4, coefficients: &[f32; 7]) -> F32x4 {
    let (x, round) = (x.max(F32x4::splat(-88.376_26)), F32x4::splat(ROUND));
    let rounded = x.fused_mul_add(F32x4::splat(LOG2_E), round);
    let n = rounded - round;
    let rest = fused(n, F32x4::splat(-LN_2_LOW), fused(n, F32x4::splat(-LN_2_HIGH), x));
    // The bits of 2^n.
    let power = F32x4::from_bits(rounded.to_bits().shl::<23>() + I32x4::splat(127 << 23));
    polynomial(rest, coefficients) * power
}

#[inline]
fn erf(x: F32x4) -> F32x4 {
    let a = x.abs().min(F32x4::splat(3.925));
    let near = fused(polynomial(a * a, &ERF_NEAR), a, a);
    let far = F32x4::splat(1.0) - exp(F32x4::splat(0.0) - fused(polynomial(a, &ERF_FAR), a, a), &ERF_EXP);
    a.select_lt(F32x4::splat(ERF_SPLIT), near, far).copysign(x)
}

#[inline]
fn gelu(x: F32x4) -> F32x4 {
    weighted(x, erf(x * F32x4::splat(FRAC_1_SQRT_2)))
}

#[inline]
fn gelu_tanh(x: F32x4) -> F32x4 {
    let sum = F32x4::splat(0.035_677_407) * x * x + F32x4::splat(0.797_884_6);
    weighted(x, tanh(x * sum))
}

#[inline]
fn weighted(x: F32x4, y: F32x4) -> F32x4 {
    F32x4::splat(0.5) * x * (y + F32x4::splat(1.0))
}

#[inline]
fn tanh(x: F32x4) -> F32x4 {
    let x = x.max(F32x4::splat(-9.0)).min(F32x4::splat(9.0));
    let square = x * x;
    polynomial(square, &TANH_ABOVE) * x / polynomial(square, &TANH_BELOW)
}
