//! What happens to the product of a GEMM before it counts as the result.
//!
//! A GEMM calls this for a group of columns as soon as a block of rows has them, while they are in the L1 cache. It
//! does not happen in the registers of the microkernel: that would save a load and a store per element, against `k`
//! multiplications, and cost a copy of every activation behind every microkernel. Nor does it happen tile by tile:
//! engines put the many constants of an activation into registers once per call, which takes longer than a tile.

use crate::Activation;
use crate::arch::F32x4;
use crate::math;
use crate::parallel::Grid;
use crate::slices::{map, zip_in_place};
use crate::vector::{FloatVector, span};

/// The end of a GEMM: `c = activation(alpha * product + bias) + residual`.
///
/// The default leaves the product as it is. Each operation rounds separately, so the result has the bits that separate
/// operators would give.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Factor of the product.
    pub alpha: f32,
    /// Whether `alpha * product`, of floats, is rounded as by [`UnaryOp::Half`](crate::unary::UnaryOp::Half).
    pub half: bool,
    /// One value per column, `[n]`.
    pub bias: Option<&'a [f32]>,
    /// Applied to `alpha * product + bias`.
    pub activation: Activation,
    /// A matrix `[m, n]` that is added last.
    pub residual: Option<&'a [f32]>,
    /// Elements between two rows of `residual`; 0 adds one row to all.
    pub residual_stride: usize,
}

impl Default for Epilogue<'_> {
    fn default() -> Self {
        let activation = Activation::None;
        Epilogue { alpha: 1.0, half: false, bias: None, activation, residual: None, residual_stride: 0 }
    }
}

impl Epilogue<'_> {
    /// Panics unless it fits a result `[m, n]`.
    pub(crate) fn check(&self, m: usize, n: usize) {
        assert!(self.bias.is_none_or(|bias| bias.len() == n), "gemm: bias is not [n]");
        let needed = span(m, n, self.residual_stride);
        assert!(self.residual.is_none_or(|residual| residual.len() >= needed), "gemm: residual is too short");
    }

    /// Whether the product is left as it is.
    pub(crate) fn is_identity(&self) -> bool {
        self.alpha == 1.0
            && !self.half
            && self.bias.is_none()
            && self.activation == Activation::None
            && self.residual.is_none()
    }

    /// Finishes the columns `j..j + width` of the rows `i..i + rows` of the product in C.
    pub(crate) fn apply(&self, c: &mut Grid<f32>, i: usize, rows: usize, j: usize, width: usize) {
        let mut tile = Tile { c, i, rows, j, width };
        let mut alpha = F32x4::splat(self.alpha);
        if self.half {
            tile.map(|x| math::half(x * alpha));
            alpha = F32x4::splat(1.0);
        }
        if let Some(bias) = self.bias {
            let bias = &bias[j..j + width];
            tile.each_row(|_, row| zip_in_place(row, bias, |x, bias| x * alpha + bias));
        } else if self.alpha != 1.0 && !self.half {
            tile.map(|x| x * alpha);
        }
        // One loop for each function: within a common loop its constants would be loaded again for every vector.
        match self.activation {
            Activation::None => {}
            Activation::Relu => tile.map(math::relu),
            Activation::Gelu | Activation::GeluHalf => tile.map(math::gelu(self.activation == Activation::GeluHalf)),
            Activation::GeluTanh => tile.map(math::gelu_tanh()),
            Activation::Tanh => tile.map(math::tanh),
        }
        if let Some(residual) = self.residual {
            tile.each_row(|i, row| {
                let residual = &residual[i * self.residual_stride + j..][..width];
                zip_in_place(row, residual, |x, residual| x + residual);
            });
        }
    }
}

/// Some rows and columns of C.
struct Tile<'a, 'c> {
    c: &'a mut Grid<'c, f32>,
    i: usize,
    rows: usize,
    j: usize,
    width: usize,
}

impl Tile<'_, '_> {
    /// Calls `f` with the index and the elements of every row.
    #[inline(always)]
    fn each_row(&mut self, f: impl Fn(usize, &mut [f32])) {
        for i in self.i..self.i + self.rows {
            f(i, self.c.row(i, self.j, self.width));
        }
    }

    #[inline(always)]
    fn map(&mut self, f: impl Fn(F32x4) -> F32x4) {
        self.each_row(|_, row| map(row, &f));
    }
}
