//! Integer matrix products and the conversions around them.

use super::{Outputs, one};
use crate::builder::{Builder, Fact};
use crate::error::{Reason, Reject};
use crate::proto::data_type;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, DType, Op, ValueId};

/// y, its scale and its zero point.
fn dynamic_facts(b: &Builder<'_>, x: ValueId) -> [Fact; 3] {
    let scalar = |dtype| Fact { dtype: Some(dtype), rank: Some(0) };
    [Fact { dtype: Some(DType::U8), rank: b.fact(x).rank }, scalar(DType::F32), scalar(DType::U8)]
}

pub(super) fn dynamic_quantize(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let x = n.input(0)?;
    let facts = dynamic_facts(b, x);
    Ok(b.emit_outputs(Op::DynamicQuantizeLinear, vec![Some(x)], &facts))
}

/// The result's type is the zero point's, or the attribute's, or u8: 8 bits, that is.
pub(super) fn quantize(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    n.ignore(&["saturate"]);
    n.only("block_size", 0)?;
    n.only("precision", 0)?;
    let axis = n.int_or("axis", 1)?;
    let (x, scale, zero_point) = (n.input(0)?, n.input(1)?, n.optional(2));
    let wanted = n.int_or("output_dtype", 0)?;
    match zero_point {
        Some(zero_point) => byte(b, zero_point, "to a type other than int8 and uint8")?,
        None if wanted == 0 || wanted == i64::from(data_type::UINT8) => {}
        None => return Err("without a zero point to a type other than uint8".into()),
    }
    one(b.emit_optional(Op::QuantizeLinear { axis }, vec![Some(x), Some(scale), zero_point]))
}

pub(super) fn dequantize(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    n.ignore(&["output_dtype"]);
    n.only("block_size", 0)?;
    let axis = n.int_or("axis", 1)?;
    let (x, scale, zero_point) = (n.input(0)?, n.input(1)?, n.optional(2));
    if b.dtype(x)? != DType::I32 {
        byte(b, x, "of a type other than int8, uint8 and int32")?;
    }
    one(b.emit_optional(Op::DequantizeLinear { axis }, vec![Some(x), Some(scale), zero_point]))
}

/// Rejects values that are not 8-bit integers.
fn byte(b: &Builder<'_>, value: ValueId, reason: &'static str) -> Result<(), Reject> {
    match b.dtype(value)? {
        DType::U8 | DType::I8 => Ok(()),
        _ => Err(reason.into()),
    }
}

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
    let facts = dynamic_facts(b, x);
    match b.emit_outputs(Op::DynamicQuantizeLinear, vec![Some(x)], &facts)[..] {
        [x, Some(x_scale), x_zero] => {
            one(product(b, [x, Some(weight), x_zero, weight_zero], [x_scale, weight_scale], bias))
        }
        _ => Err(Reason::Operator.into()),
    }
}
