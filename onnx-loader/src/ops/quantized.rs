//! Integer matrix products, and what onnxruntime fuses with them.

use super::quantize;
use crate::builder::Builder;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, DType, Op, ValueId};

/// `x_scale * weight_scale * (x - x_zero)(weight - weight_zero) + bias`, with `operands` as `MatMulInteger` has them.
pub(super) fn product(
    b: &mut Builder<'_>,
    operands: [Option<ValueId>; 4],
    [x_scale, weight_scale]: [ValueId; 2],
    bias: Option<ValueId>,
) -> ValueId {
    let product = b.emit_optional(Op::MatMulInteger, &operands);
    let product = b.cast(product, DType::F32);
    let scale = b.binary(Binary::Mul, x_scale, weight_scale);
    let product = b.binary(Binary::Mul, product, scale);
    match bias {
        Some(bias) => b.binary(Binary::Add, product, bias),
        None => product,
    }
}

pub(super) fn matmul_integer_to_float(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let (x, weight, x_scale, weight_scale) = (n.input(0), n.input(1), n.input(2), n.input(3));
    let operands = [Some(x), Some(weight), n.optional(4), n.optional(5)];
    Some(product(b, operands, [x_scale, weight_scale], n.optional(6)))
}

/// The same with x quantised here.
pub(super) fn dynamic_quantize_matmul(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let (x, weight, weight_scale) = (n.input(0), n.input(1), n.input(2));
    let (weight_zero, bias) = (n.optional(3), n.optional(4));
    let [x, x_scale, x_zero] = quantize::dynamically(b, x).try_into().ok()?;
    let operands = [Some(x), Some(weight), Some(x_zero), weight_zero];
    Some(product(b, operands, [x_scale, weight_scale], bias))
}
