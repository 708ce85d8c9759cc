//! Operators that work element by element, and casts.

use crate::builder::Builder;
use crate::proto::data_type;
use crate::reader::NodeReader;
use crate::tensor;
use fourlane_graph::ir::{Binary, DType, Unary, ValueId};

/// Functions of one tensor without attributes.
static UNARY: [(&str, Unary); 17] = [
    ("Abs", Unary::Abs),
    ("Ceil", Unary::Ceil),
    ("Cos", Unary::Cos),
    ("Erf", Unary::Erf),
    ("Exp", Unary::Exp),
    ("Floor", Unary::Floor),
    ("IsNaN", Unary::IsNan),
    ("Log", Unary::Log),
    ("Neg", Unary::Neg),
    ("Not", Unary::Not),
    ("Reciprocal", Unary::Reciprocal),
    ("Relu", Unary::Relu),
    ("Sigmoid", Unary::Sigmoid),
    ("Sign", Unary::Sign),
    ("Sin", Unary::Sin),
    ("Sqrt", Unary::Sqrt),
    ("Tanh", Unary::Tanh),
];

/// Functions of two tensors without attributes.
static BINARY: [(&str, Binary); 11] = [
    ("Add", Binary::Add),
    ("And", Binary::And),
    ("Div", Binary::Div),
    ("Equal", Binary::Equal),
    ("Greater", Binary::Greater),
    ("GreaterOrEqual", Binary::GreaterOrEqual),
    ("Less", Binary::Less),
    ("LessOrEqual", Binary::LessOrEqual),
    ("Mul", Binary::Mul),
    ("Or", Binary::Or),
    ("Sub", Binary::Sub),
];

/// Converts a node that is one of these functions.
pub(super) fn convert(op_type: &str, n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    if let Some(&(_, op)) = UNARY.iter().find(|(name, _)| *name == op_type) {
        return Some(b.unary(op, n.input(0)));
    }
    let &(_, op) = BINARY.iter().find(|(name, _)| *name == op_type)?;
    Some(b.binary(op, n.input(0), n.input(1)))
}

/// Operators of any number of tensors, as a chain of binary ones.
pub(super) fn variadic(op: Binary, n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let inputs = n.inputs();
    let (&(mut x), rest) = inputs.split_first()?;
    for &y in rest {
        x = b.binary(op, x, y);
    }
    Some(x)
}

/// The result has the base's type; the exponent may have another one.
pub(super) fn pow(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let (base, exponent) = (n.input(0), n.input(1));
    let (from, to) = (n.dtype(b, exponent)?, n.dtype(b, base)?);
    if from != to && to != DType::F32 {
        return n.reject("of integers to a power of another type");
    }
    let exponent = b.cast(exponent, to);
    Some(b.binary(Binary::Pow, base, exponent))
}

/// Bounds are attributes before opset 11, inputs since.
pub(super) fn clip(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let mut x = n.input(0);
    for (index, name, op) in [(1, "min", Binary::Max), (2, "max", Binary::Min)] {
        let bound = match n.float(name) {
            Some(bound) => Some(b.scalar(bound)),
            None => n.optional(index),
        };
        if let Some(bound) = bound {
            x = b.binary(op, x, bound);
        }
    }
    Some(x)
}

pub(super) fn gelu(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let op = if n.choice("approximate", &["", "none", "tanh"])? < 2 { Unary::Gelu } else { Unary::GeluTanh };
    Some(b.unary(op, n.input(0)))
}

/// To any float means to f32, which is what runs. Integers that do not exist here would have to wrap around.
pub(super) fn cast(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.ignore(&["saturate", "round_mode"]);
    let code = i32::try_from(n.int_or("to", 0)).unwrap_or_default();
    use data_type::{INT4, INT16, UINT4, UINT16, UINT32, UINT64};
    let runs = !matches!(code, INT4 | INT16 | UINT4 | UINT16 | UINT32 | UINT64);
    match tensor::dtype(code) {
        Some(dtype) if runs => Some(b.cast(n.input(0), dtype.runtime())),
        _ => n.reject_for(format!("to {}", data_type::name(code))),
    }
}

pub(super) fn cast_like(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.ignore(&["saturate", "round_mode"]);
    let (x, like) = (n.input(0), n.input(1));
    let dtype = n.dtype(b, like)?;
    Some(b.cast(x, dtype))
}

/// Nothing at inference. Its second output, the mask of what was kept, does not exist here.
pub(super) fn dropout(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.ignore(&["ratio", "seed"]);
    let x = n.input(0);
    n.optional(1);
    if let Some(training) = n.optional(2)
        && b.tensor(training).is_none_or(|t| t.data.iter().any(|&v| v != 0))
    {
        return n.reject("in training mode");
    }
    Some(x)
}
