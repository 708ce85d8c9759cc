//! Operators that work element by element, and casts.

use super::{Outputs, one};
use crate::builder::Builder;
use crate::error::Reject;
use crate::proto::data_type;
use crate::reader::NodeReader;
use crate::tensor;
use fourlane_graph::ir::{Binary, DType, Op, Unary};

/// Functions of one tensor without attributes.
pub(super) fn unary(op_type: &str) -> Option<Unary> {
    Some(match op_type {
        "Abs" => Unary::Abs,
        "Ceil" => Unary::Ceil,
        "Cos" => Unary::Cos,
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "IsNaN" => Unary::IsNan,
        "Log" => Unary::Log,
        "Neg" => Unary::Neg,
        "Not" => Unary::Not,
        "Reciprocal" => Unary::Reciprocal,
        "Relu" => Unary::Relu,
        "Sigmoid" => Unary::Sigmoid,
        "Sign" => Unary::Sign,
        "Sin" => Unary::Sin,
        "Sqrt" => Unary::Sqrt,
        "Tanh" => Unary::Tanh,
        _ => return None,
    })
}

/// Functions of two tensors without attributes.
pub(super) fn binary(op_type: &str) -> Option<Binary> {
    Some(match op_type {
        "Add" => Binary::Add,
        "And" => Binary::And,
        "Div" => Binary::Div,
        "Equal" => Binary::Equal,
        "Greater" => Binary::Greater,
        "GreaterOrEqual" => Binary::GreaterOrEqual,
        "Less" => Binary::Less,
        "LessOrEqual" => Binary::LessOrEqual,
        "Mul" => Binary::Mul,
        "Or" => Binary::Or,
        "Sub" => Binary::Sub,
        _ => return None,
    })
}

/// Operators of any number of tensors, as a chain of binary ones.
pub(super) fn variadic(op_type: &str, n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let op = match op_type {
        "Max" => Binary::Max,
        "Min" => Binary::Min,
        _ => Binary::Add,
    };
    let inputs = n.inputs()?;
    Ok(vec![inputs.into_iter().reduce(|x, y| b.binary(op, x, y))])
}

/// The result has the base's type; the exponent may have another one.
pub(super) fn pow(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let (base, mut exponent) = (n.input(0)?, n.input(1)?);
    let (from, to) = (b.dtype(exponent)?, b.dtype(base)?);
    if from != to {
        if to != DType::F32 {
            return Err("of integers to a power of another type".into());
        }
        exponent = b.cast(exponent, to);
    }
    one(b.binary(Binary::Pow, base, exponent))
}

/// Bounds are attributes before opset 11, inputs since.
pub(super) fn clip(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let mut x = n.input(0)?;
    for (index, name, op) in [(1, "min", Binary::Max), (2, "max", Binary::Min)] {
        let bound = match n.float(name)? {
            Some(bound) => Some(b.scalar(bound)),
            None => n.optional(index),
        };
        if let Some(bound) = bound {
            x = b.binary(op, x, bound);
        }
    }
    one(x)
}

pub(super) fn gelu(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let op = match n.string("approximate")?.as_str() {
        "" | "none" => Unary::Gelu,
        "tanh" => Unary::GeluTanh,
        other => return Err(format!("with approximate='{other}'").into()),
    };
    one(b.unary(op, n.input(0)?))
}

pub(super) fn select(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let inputs = [n.input(0)?, n.input(1)?, n.input(2)?];
    one(b.emit(Op::Where, &inputs))
}

/// To any float means to f32, which is what runs. Integers that do not exist here would have to wrap around.
pub(super) fn cast(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    n.ignore(&["saturate", "round_mode"]);
    let code = n.int("to")?.and_then(|to| i32::try_from(to).ok()).unwrap_or_default();
    use data_type::{INT4, INT16, UINT4, UINT16, UINT32, UINT64};
    let runs = !matches!(code, INT4 | INT16 | UINT4 | UINT16 | UINT32 | UINT64);
    match tensor::dtype(code) {
        Some(dtype) if runs => one(b.cast(n.input(0)?, dtype.runtime())),
        _ => Err(format!("to {}", data_type::name(code)).into()),
    }
}

pub(super) fn cast_like(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    n.ignore(&["saturate", "round_mode"]);
    let (x, like) = (n.input(0)?, n.input(1)?);
    let dtype = b.dtype(like)?;
    one(b.cast(x, dtype))
}

/// Nothing at inference. Its second output, the mask of what was kept, does not exist here.
pub(super) fn dropout(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    n.ignore(&["ratio", "seed"]);
    let x = n.input(0)?;
    n.optional(1);
    if let Some(training) = n.optional(2)
        && b.tensor(training).is_none_or(|t| t.data.iter().any(|&v| v != 0))
    {
        return Err(Reject::from("in training mode"));
    }
    one(x)
}
