//! Integer matrix products, and what onnxruntime fuses with them.

use super::{Outputs, one, quantize};
use crate::builder::Builder;
use crate::error::Reason;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, DType, Op, ValueId};

pub(super) fn matmul_integer(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let inputs = vec![Some(n.input(0)?), Some(n.input(1)?), n.optional(2), n.optional(3)];
    one(b.emit_optional(Op::MatMulInteger, inputs))
}

/// `x_scale * weight_scale * (x - x_zero)(weight - weight_zero) + bias`, with `operands` as `MatMulInteger` has them.
pub(super) fn product(
    b: &mut Builder<'_>,
    operands: [Option<ValueId>; 4],
    [x_scale, weight_scale]: [ValueId; 2],
    bias: Option<ValueId>,
) -> ValueId {
    let product = b.emit_optional(Op::MatMulInteger, operands.to_vec());
    let product = b.cast(product, DType::F32);
    let scale = b.binary(Binary::Mul, x_scale, weight_scale);
    let product = b.binary(Binary::Mul, product, scale);
    match bias {
        Some(bias) => b.binary(Binary::Add, product, bias),
        None => product,
    }
}

pub(super) fn matmul_integer_to_float(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let (x, weight, x_scale, weight_scale) = (n.input(0)?, n.input(1)?, n.input(2)?, n.input(3)?);
    let operands = [Some(x), Some(weight), n.optional(4), n.optional(5)];
    one(product(b, operands, [x_scale, weight_scale], n.optional(6)))
}

/// The same with x quantised here.
pub(super) fn dynamic_quantize_matmul(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let (x, weight, weight_scale) = (n.input(0)?, n.input(1)?, n.input(2)?);
    let (weight_zero, bias) = (n.optional(3), n.optional(4));
    let facts = quantize::dynamic_facts(b, x);
    match b.emit_outputs(Op::DynamicQuantizeLinear, vec![Some(x)], &facts)[..] {
        [x, Some(x_scale), x_zero] => {
            one(product(b, [x, Some(weight), x_zero, weight_zero], [x_scale, weight_scale], bias))
        }
        _ => Err(Reason::Operator.into()),
    }
}
