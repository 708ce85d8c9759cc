//! What onnxruntime's optimisers fuse, taken apart again.
//!
//! Fusing is this project's own business, done by passes that see one form of each thing. So the fused operators of
//! optimised files become the standard ones that they stand for.

use super::{Outputs, layout, matrix, one};
use crate::builder::Builder;
use crate::error::Reject;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, DType, Moments, Op, Reduce, Unary, ValueId};

/// `gelu(x + bias)`, in either form; the bias may be absent.
pub(super) fn bias_gelu(op: Unary, n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let mut x = n.input(0)?;
    if let Some(bias) = n.optional(1) {
        x = b.binary(Binary::Add, x, bias);
    }
    one(b.unary(op, x))
}

/// `x * sigmoid(alpha * x)`
pub(super) fn quick_gelu(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let alpha = n.float_or("alpha", 1.702)?;
    let x = n.input(0)?;
    let alpha = b.scalar(alpha);
    let scaled = b.binary(Binary::Mul, x, alpha);
    let gate = b.unary(Unary::Sigmoid, scaled);
    one(b.binary(Binary::Mul, x, gate))
}

/// `alpha * a b`, either operand with its last two axes swapped.
pub(super) fn matmul(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    n.only("transBatchA", 0)?;
    n.only("transBatchB", 0)?;
    let alpha = n.float_or("alpha", 1.0)?;
    let mut operand = |index: usize, name: &str| -> Result<ValueId, Reject> {
        let x = n.input(index)?;
        if !n.flag(name, false)? {
            return Ok(x);
        }
        let rank = b.rank(x)?;
        let Some(row) = rank.checked_sub(2) else { return Err("of a transposed vector".into()) };
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(row, rank - 1);
        Ok(b.emit(Op::Transpose { perm }, &[x]))
    };
    let (x, y) = (operand(0, "transA")?, operand(1, "transB")?);
    let mut product = b.emit(Op::MatMul, &[x, y]);
    if alpha != 1.0 {
        let alpha = b.scalar(alpha);
        product = b.binary(Binary::Mul, product, alpha);
    }
    one(product)
}

/// `activation(gemm(a, b, c))`
pub(super) fn gemm(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let activation = match n.string("activation")?.as_str() {
        "" => None,
        "Relu" => Some(Unary::Relu),
        "Sigmoid" => Some(Unary::Sigmoid),
        "Tanh" => Some(Unary::Tanh),
        other => return Err(format!("with activation='{other}'").into()),
    };
    let product = matrix::gemm(n, b)?;
    one(match activation {
        Some(activation) => b.unary(activation, product),
        None => product,
    })
}

/// `layer_norm(input + skip + bias)`; the fourth output is the sum. (The second and third are of use in training.)
pub(super) fn skip_layer_norm(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let epsilon = n.float_or("epsilon", 1e-12)?;
    let (input, skip, scale) = (n.input(0)?, n.input(1)?, n.input(2)?);
    let (beta, bias) = (n.optional(3), n.optional(4));
    let mut sum = b.binary(Binary::Add, input, skip);
    if let Some(bias) = bias {
        sum = b.binary(Binary::Add, sum, bias);
    }
    let op = Op::LayerNorm { axis: -1, epsilon, moments: Moments::Running };
    let normal = b.emit_optional(op, vec![Some(sum), Some(scale), beta]);
    Ok(vec![Some(normal), None, None, Some(sum)])
}

/// A table or vector of an embedding layer: as floats, or quantised with one scale and zero point.
#[derive(Clone, Copy)]
struct Table {
    values: ValueId,
    scale: Option<(ValueId, Option<ValueId>)>,
}

impl Table {
    fn float(values: ValueId) -> Self {
        Self { values, scale: None }
    }

    fn to_float(self, b: &mut Builder<'_>, values: ValueId) -> ValueId {
        match self.scale {
            Some((scale, zero)) => {
                b.emit_optional(Op::DequantizeLinear { axis: 0 }, vec![Some(values), Some(scale), zero])
            }
            None => values,
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

/// What the two forms of the embedding layer have in common.
struct Embedding {
    words: Table,
    positions: Table,
    segments: Option<Table>,
    scale: Table,
    bias: Table,
    position_ids: Option<ValueId>,
}

pub(super) fn embed_layer_norm(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    n.ignore(&["mask_index_type"]);
    let layer = Embedding {
        words: Table::float(n.input(2)?),
        positions: Table::float(n.input(3)?),
        segments: n.optional(4).map(Table::float),
        scale: Table::float(n.input(5)?),
        bias: Table::float(n.input(6)?),
        position_ids: n.optional(8),
    };
    embed(n, b, layer)
}

/// Scales are six inputs after the values, zero points five more.
pub(super) fn embed_layer_norm_quantized(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let quantized = |n: &mut NodeReader, index: usize, values: ValueId| -> Result<Table, Reject> {
        Ok(Table { values, scale: Some((n.input(index + 6)?, n.optional(index + 11))) })
    };
    let table = |n: &mut NodeReader, index: usize| {
        let values = n.input(index)?;
        quantized(n, index, values)
    };
    let layer = Embedding {
        words: table(n, 2)?,
        positions: table(n, 3)?,
        segments: match n.optional(4) {
            Some(values) => Some(quantized(n, 4, values)?),
            None => None,
        },
        scale: table(n, 5)?,
        bias: table(n, 6)?,
        position_ids: None,
    };
    embed(n, b, layer)
}

/// The sum of word, position and segment embeddings, normalised; the number of tokens per row; the sum.
fn embed(n: &mut NodeReader, b: &mut Builder<'_>, layer: Embedding) -> Outputs {
    let epsilon = n.float_or("epsilon", 1e-12)?;
    let (ids, segment_ids, mask) = (n.input(0)?, n.optional(1), n.optional(7));
    let mut sum = layer.words.rows(b, ids);
    let position_ids = layer.position_ids.unwrap_or_else(|| layout::counter(b, ids, 1));
    let position = layer.positions.rows(b, position_ids);
    sum = b.binary(Binary::Add, sum, position);
    match (segment_ids, layer.segments) {
        (Some(ids), Some(table)) => {
            let segment = table.rows(b, ids);
            sum = b.binary(Binary::Add, sum, segment);
        }
        (None, None) => {}
        _ => return Err("with segment ids or a segment table, but not both".into()),
    }
    let (scale, bias) = (layer.scale.whole(b), layer.bias.whole(b));
    let normal = b.emit(Op::LayerNorm { axis: -1, epsilon, moments: Moments::Sequential }, &[sum, scale, bias]);
    let tokens = mask.map(|mask| {
        let mask = b.cast(mask, DType::I64);
        let axes = b.ints(&[1]);
        let op = Op::Reduce { op: Reduce::Sum, keep_dims: false, noop_with_empty_axes: false };
        let tokens = b.emit(op, &[mask, axes]);
        b.cast(tokens, DType::I32)
    });
    Ok(vec![Some(normal), tokens, Some(sum)])
}
