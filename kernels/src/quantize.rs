//! Quantisation to 8 bits and back: `x = (q - zero_point) * scale`.
//!
//! Rounding is the ONNX operators' own: the quotient to the nearest integer, ties to even, then the zero point, then
//! the bounds. The quotient is a division, since `x * (1 / scale)` would differ in the last bit and now and then in
//! the result. The bounds are applied first, moved by the zero point, which changes nothing and leaves a number so
//! small that adding `1.5 * 2^23` rounds it and puts the integer into the low bits of the sum.

use crate::arch::{F32x4, I32x4};
use crate::slices::{blocks, load};
use crate::vector::{FloatVector, IntVector, LANES};
use std::array::from_fn;

/// `1.5 * 2^23`
const ROUND: f32 = 12_582_912.0;
/// Numbers that are quantised together.
pub(crate) const BLOCK: usize = 4 * LANES;

/// ONNX `DynamicQuantizeLinear`: quantises `x` to `out` with a scale and a zero point, which are returned, that fit
/// its range.
///
/// The range always includes 0, which is represented exactly; it ignores NaN. If all elements are 0 the scale is 1.
/// NaN becomes the byte 0.
///
/// # Panics
/// If `x` and `out` differ in length.
#[inline]
pub fn dynamic_quantize(x: &[f32], out: &mut [u8]) -> (f32, u8) {
    let Range { scale, zero_point } = Range::of(x, u8::MAX);
    quantize_u8(x, scale, zero_point, out);
    (scale, zero_point)
}

/// Scale and zero point that fit a range to bytes from 0 up.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub scale: f32,
    pub zero_point: u8,
}

impl Range {
    /// What [`dynamic_quantize`] takes, for bytes up to `max`.
    pub fn of(x: &[f32], max: u8) -> Range {
        let [mut lows, mut highs] = [[F32x4::splat(0.0); 4]; 2];
        for block in blocks(x, 0.0, &mut [0.0; BLOCK]) {
            for i in 0..4 {
                let y = load(block, i * LANES, 0.0);
                (lows[i], highs[i]) = (lows[i].min(y), highs[i].max(y));
            }
        }
        let [a, b, c, d] = highs;
        let high = a.max(b).max(c.max(d)).to_array().into_iter().fold(0.0, f32::max);
        let [a, b, c, d] = lows;
        let low = a.min(b).min(c.min(d)).to_array().into_iter().fold(0.0, f32::min);
        let scale = if low == high { 1.0 } else { (high - low) / f32::from(max) };
        // A float becomes an integer by saturation.
        Range { scale, zero_point: round(0.0 - low / scale).min(max.into()) as u8 }
    }
}

/// `x` rounded to an integer, ties to even, if that fits an `i8` or `u8`; else a number beyond their bounds, too.
fn round(x: f32) -> f32 {
    (x.clamp(-1000.0, 1000.0) + ROUND) - ROUND
}

/// Quantises vectors to bytes up to some maximum.
#[derive(Clone, Copy)]
pub(crate) struct Quantizer {
    scale: F32x4,
    low: F32x4,
    high: F32x4,
    /// The zero point, less the bits of the rounding constant.
    offset: I32x4,
}

impl Quantizer {
    pub fn new(scale: f32, zero_point: u8, max: u8) -> Quantizer {
        let zero_point = i32::from(zero_point);
        Quantizer {
            scale: F32x4::splat(scale),
            low: F32x4::splat((-zero_point) as f32),
            high: F32x4::splat((i32::from(max) - zero_point) as f32),
            offset: I32x4::splat(zero_point - ROUND.to_bits() as i32),
        }
    }

    /// The bytes of sixteen numbers.
    #[inline(always)]
    pub fn vectors(&self, x: &[f32; BLOCK]) -> [I32x4; 4] {
        from_fn(|i| {
            let y = load(x, i * LANES, 0.0) / self.scale;
            // In this order NaN becomes the lower bound.
            let y = self.low.max(y).min(self.high);
            (y + F32x4::splat(ROUND)).to_bits() + self.offset
        })
    }
}

/// ONNX `QuantizeLinear` to unsigned bytes; NaN becomes 0.
///
/// # Panics
/// If `x` and `out` differ in length.
#[inline]
pub fn quantize_u8(x: &[f32], scale: f32, zero_point: u8, out: &mut [u8]) {
    assert!(x.len() == out.len(), "quantize: x and out differ in length");
    let quantizer = Quantizer::new(scale, zero_point, u8::MAX);
    for (x, out) in blocks(x, 0.0, &mut [0.0; BLOCK]).zip(out.chunks_mut(BLOCK)) {
        let bytes = I32x4::narrow(quantizer.vectors(x));
        match out.first_chunk_mut() {
            Some(out) => *out = bytes,
            None => out.copy_from_slice(&bytes[..out.len()]),
        }
    }
}

/// ONNX `QuantizeLinear` to signed bytes; NaN becomes -128.
///
/// # Panics
/// If `x` and `out` differ in length.
#[inline]
pub fn quantize_i8(x: &[f32], scale: f32, zero_point: i8, out: &mut [i8]) {
    // Signed bytes are unsigned ones with everything, the zero point too, moved by 128.
    let out = bytemuck::cast_slice_mut(out);
    quantize_u8(x, scale, (zero_point as u8).wrapping_add(128), out);
    out.iter_mut().for_each(|x| *x = x.wrapping_sub(128));
}

/// ONNX `DequantizeLinear` of unsigned bytes.
///
/// # Panics
/// If `x` and `out` differ in length.
#[inline]
pub fn dequantize_u8(x: &[u8], scale: f32, zero_point: u8, out: &mut [f32]) {
    dequantize(x, scale, zero_point.into(), out);
}

/// ONNX `DequantizeLinear` of signed bytes.
///
/// # Panics
/// If `x` and `out` differ in length.
#[inline]
pub fn dequantize_i8(x: &[i8], scale: f32, zero_point: i8, out: &mut [f32]) {
    dequantize(x, scale, zero_point.into(), out);
}

/// ONNX `DequantizeLinear` of 32-bit integers; the difference to the zero point wraps.
///
/// # Panics
/// If `x` and `out` differ in length.
#[inline]
pub fn dequantize_i32(x: &[i32], scale: f32, zero_point: i32, out: &mut [f32]) {
    dequantize(x, scale, zero_point, out);
}

#[inline(always)]
fn dequantize<T: Copy + Into<i32>>(x: &[T], scale: f32, zero_point: i32, out: &mut [f32]) {
    assert!(x.len() == out.len(), "dequantize: x and out differ in length");
    for (out, &x) in out.iter_mut().zip(x) {
        *out = x.into().wrapping_sub(zero_point) as f32 * scale;
    }
}
