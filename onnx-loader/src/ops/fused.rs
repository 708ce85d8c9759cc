//! What onnxruntime's optimisers fuse, taken apart again.
//!
//! Fusing is this project's own business, done by passes that see one form of each thing. So the fused operators of
//! optimised files become the standard ones that they stand for.

use super::{layout, matrix};
use crate::builder::Builder;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, DType, Moments, Op, Reduce, Unary, ValueId};

/// `gelu(x + bias)`, in either form; the bias may be absent.
pub(super) fn bias_gelu(op: Unary, n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let mut x = n.input(0);
    if let Some(bias) = n.optional(1) {
        x = b.binary(Binary::Add, x, bias);
    }
    Some(b.unary(op, x))
}

/// `x * sigmoid(alpha * x)`
pub(super) fn quick_gelu(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let alpha = n.float_or("alpha", 1.702);
    let x = n.input(0);
    let alpha = b.scalar(alpha);
    let scaled = b.binary(Binary::Mul, x, alpha);
    let gate = b.unary(Unary::Sigmoid, scaled);
    Some(b.binary(Binary::Mul, x, gate))
}

/// `alpha * a b`, either operand with its last two axes swapped.
pub(super) fn matmul(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.only("transBatchA", 0);
    n.only("transBatchB", 0);
    let alpha = n.float_or("alpha", 1.0);
    let (x, y) = (operand(n, b, 0, "transA")?, operand(n, b, 1, "transB")?);
    let mut product = b.emit(Op::MatMul, &[x, y]);
    if alpha != 1.0 {
        let alpha = b.scalar(alpha);
        product = b.binary(Binary::Mul, product, alpha);
    }
    Some(product)
}

/// An input with its last two axes swapped if an attribute says so.
fn operand(n: &mut NodeReader<'_>, b: &mut Builder<'_>, index: usize, name: &str) -> Option<ValueId> {
    let x = n.input(index);
    if !n.flag(name, false) {
        return Some(x);
    }
    let rank = n.rank(b, x)?;
    if rank < 2 {
        return n.reject("of a transposed vector");
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    Some(b.emit(Op::Transpose { perm }, &[x]))
}

/// `activation(gemm(a, b, c))`
pub(super) fn gemm(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let activation = n.choice("activation", &["", "Relu", "Sigmoid", "Tanh"])?;
    let product = matrix::gemm(n, b)?;
    Some(match [None, Some(Unary::Relu), Some(Unary::Sigmoid), Some(Unary::Tanh)][activation] {
        Some(activation) => b.unary(activation, product),
        None => product,
    })
}

/// `layer_norm(input + skip + bias)`; the fourth output is the sum. (The second and third are of use in training.)
pub(super) fn skip_layer_norm(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let epsilon = n.float_or("epsilon", 1e-12);
    let (input, skip, scale) = (n.input(0), n.input(1), n.input(2));
    let (beta, bias) = (n.optional(3), n.optional(4));
    let mut sum = b.binary(Binary::Add, input, skip);
    if let Some(bias) = bias {
        sum = b.binary(Binary::Add, sum, bias);
    }
    let op = Op::LayerNorm { axis: -1, epsilon, moments: Moments::Running };
    let normal = b.emit_optional(op, &[Some(sum), Some(scale), beta]);
    n.more = vec![None, None, Some(sum)];
    Some(normal)
}

/// A table or vector of an embedding layer: as floats, or quantised with one scale and zero point.
#[derive(Clone, Copy)]
struct Table {
    values: ValueId,
    scale: Option<ValueId>,
    zero: Option<ValueId>,
}

impl Table {
    /// The one that is this input. Scales are six inputs after the values, zero points five more.
    fn take(n: &mut NodeReader<'_>, index: usize, is_quantized: bool) -> Self {
        let values = n.input(index);
        if is_quantized {
            Self { values, scale: Some(n.input(index + 6)), zero: n.optional(index + 11) }
        } else {
            Self { values, scale: None, zero: None }
        }
    }

    fn to_float(self, b: &mut Builder<'_>, values: ValueId) -> ValueId {
        match self.scale {
            None => values,
            scale => b.emit_optional(Op::DequantizeLinear { axis: 0 }, &[Some(values), scale, self.zero]),
        }
    }

    fn rows(self, b: &mut Builder<'_>, ids: ValueId) -> ValueId {
        let rows = b.emit(Op::Gather { axis: 0 }, &[self.values, ids]);
        self.to_float(b, rows)
    }

    fn whole(self, b: &mut Builder<'_>) -> ValueId {
        self.to_float(b, self.values)
    }
}

/// The sum of word, position and segment embeddings, normalised; the number of tokens per row; the sum.
pub(super) fn embed_layer_norm(is_quantized: bool, n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.ignore(&["mask_index_type"]);
    let epsilon = n.float_or("epsilon", 1e-12);
    let (words, positions) = (Table::take(n, 2, is_quantized), Table::take(n, 3, is_quantized));
    let (ids, segment_ids, mask) = (n.input(0), n.optional(1), n.optional(7));
    let segments = n.has_input(4).then(|| Table::take(n, 4, is_quantized));
    let (scale, bias) = (Table::take(n, 5, is_quantized), Table::take(n, 6, is_quantized));
    let position_ids = if is_quantized { None } else { n.optional(8) };
    let mut sum = words.rows(b, ids);
    let position_ids = position_ids.unwrap_or_else(|| layout::counter(b, ids, 1));
    let position = positions.rows(b, position_ids);
    sum = b.binary(Binary::Add, sum, position);
    match (segment_ids, segments) {
        (Some(ids), Some(table)) => {
            let segment = table.rows(b, ids);
            sum = b.binary(Binary::Add, sum, segment);
        }
        (None, None) => {}
        _ => return n.reject("with segment ids or a segment table, but not both"),
    }
    let (scale, bias) = (scale.whole(b), bias.whole(b));
    let normal = b.emit(Op::LayerNorm { axis: -1, epsilon, moments: Moments::Sequential }, &[sum, scale, bias]);
    let tokens = mask.map(|mask| {
        let mask = b.cast(mask, DType::I64);
        let axes = b.ints(&[1]);
        let op = Op::Reduce { op: Reduce::Sum, keep_dims: false, noop_with_empty_axes: false };
        let tokens = b.emit(op, &[mask, axes]);
        b.cast(tokens, DType::I32)
    });
    n.more = vec![tokens, Some(sum)];
    Some(normal)
}
