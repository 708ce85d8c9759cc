//! Operators that make, move and pick elements: the shape arithmetic of exported models, mostly.

use super::{Outputs, one};
use crate::builder::{Builder, Fact};
use crate::error::Reject;
use crate::reader::NodeReader;
use bytes::Bytes;
use fourlane_graph::ir::{DType, Op, Tensor, ValueId};

/// Axes: an attribute in old opsets, an input in new ones.
pub(super) fn axes(n: &mut NodeReader, b: &mut Builder<'_>, index: usize) -> Result<Option<ValueId>, Reject> {
    operand(n, b, "axes", index)
}

/// A list of integers that is an attribute in old opsets, an input in new ones.
fn operand(n: &mut NodeReader, b: &mut Builder<'_>, name: &str, index: usize) -> Result<Option<ValueId>, Reject> {
    Ok(match n.ints(name)? {
        Some(values) => Some(b.ints(&values)),
        None => n.optional(index),
    })
}

fn required(operand: Option<ValueId>, reason: &'static str) -> Result<ValueId, Reject> {
    operand.ok_or_else(|| reason.into())
}

/// An operator of `(x, y)` without attributes.
fn pair(op: Op, n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let (x, y) = (n.input(0)?, n.input(1)?);
    one(b.emit(op, &[x, y]))
}

/// `0, 1, ..` as many as `x` is long along `axis`, as i64.
pub(super) fn counter(b: &mut Builder<'_>, x: ValueId, axis: i64) -> ValueId {
    let length = b.emit(Op::Shape { start: axis, end: axis + 1 }, &[x]);
    let axes = b.ints(&[0]);
    let length = b.emit(Op::Squeeze, &[length, axes]);
    let (start, step) = (b.int(0), b.int(1));
    b.emit(Op::Range, &[start, length, step])
}

pub(super) fn constant(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let value = if let Some(tensor) = n.tensor("value")? {
        b.constant_of(&tensor)?
    } else if let Some(value) = n.float("value_float")? {
        b.scalar(value)
    } else if let Some(values) = n.floats("value_floats")? {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        b.constant(Tensor { dtype: DType::F32, shape: vec![values.len()], data: data.into() })
    } else if let Some(value) = n.int("value_int")? {
        b.int(value)
    } else if let Some(values) = n.ints("value_ints")? {
        b.ints(&values)
    } else {
        return Err("without a dense numeric value".into());
    };
    one(value)
}

pub(super) fn constant_of_shape(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let value = match n.tensor("value")? {
        Some(tensor) => b.decode(&tensor)?,
        None => Tensor { dtype: DType::F32, shape: vec![1], data: Bytes::from_static(&[0; 4]) },
    };
    if value.data.len() != value.dtype.size() {
        return Err("with a value of other than one element".into());
    }
    one(b.emit(Op::ConstantOfShape { value }, &[n.input(0)?]))
}

pub(super) fn reshape(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let allow_zero = n.flag("allowzero", false)?;
    pair(Op::Reshape { allow_zero }, n, b)
}

pub(super) fn expand(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    pair(Op::Expand, n, b)
}

pub(super) fn tile(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    pair(Op::Tile, n, b)
}

pub(super) fn gather(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let axis = n.int_or("axis", 0)?;
    pair(Op::Gather { axis }, n, b)
}

pub(super) fn gather_elements(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let axis = n.int_or("axis", 0)?;
    pair(Op::GatherElements { axis }, n, b)
}

pub(super) fn gather_nd(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    match usize::try_from(n.int_or("batch_dims", 0)?) {
        Ok(batch_dims) => pair(Op::GatherNd { batch_dims }, n, b),
        Err(_) => Err("with negative batch_dims".into()),
    }
}

pub(super) fn cum_sum(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let op = Op::CumSum { exclusive: n.flag("exclusive", false)?, reverse: n.flag("reverse", false)? };
    pair(op, n, b)
}

pub(super) fn range(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let inputs = [n.input(0)?, n.input(1)?, n.input(2)?];
    one(b.emit(Op::Range, &inputs))
}

pub(super) fn shape(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let op = Op::Shape { start: n.int_or("start", 0)?, end: n.int_or("end", i64::MAX)? };
    one(b.emit(op, &[n.input(0)?]))
}

pub(super) fn flatten(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let axis = n.int_or("axis", 1)?;
    one(b.emit(Op::Flatten { axis }, &[n.input(0)?]))
}

pub(super) fn concat(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let Some(axis) = n.int("axis")? else { return Err("without an axis".into()) };
    let inputs = n.inputs()?;
    one(match inputs[..] {
        [x] => x,
        _ => b.emit(Op::Concat { axis }, &inputs),
    })
}

pub(super) fn unsqueeze(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let axes = required(axes(n, b, 1)?, "without axes")?;
    one(b.emit(Op::Unsqueeze, &[n.input(0)?, axes]))
}

pub(super) fn squeeze(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let axes = axes(n, b, 1)?;
    one(b.emit_optional(Op::Squeeze, vec![Some(n.input(0)?), axes]))
}

pub(super) fn slice(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let x = n.input(0)?;
    let starts = required(operand(n, b, "starts", 1)?, "without starts")?;
    let ends = required(operand(n, b, "ends", 2)?, "without ends")?;
    let axes = axes(n, b, 3)?;
    one(b.emit_optional(Op::Slice, vec![Some(x), Some(starts), Some(ends), axes, n.optional(4)]))
}

pub(super) fn split(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let x = n.input(0)?;
    let axis = n.int_or("axis", 0)?;
    let sizes = operand(n, b, "split", 1)?;
    let parts = n.output_count;
    if parts == 0 {
        return Err("without outputs".into());
    }
    if n.int("num_outputs")?.is_some_and(|count| usize::try_from(count) != Ok(parts)) {
        return Err("with another number of outputs than num_outputs".into());
    }
    let inputs = if sizes.is_some() { vec![Some(x), sizes] } else { vec![Some(x)] };
    let facts = vec![b.fact(x); parts];
    Ok(b.emit_outputs(Op::Split { axis }, inputs, &facts))
}

/// Unsorted is sorted, too.
pub(super) fn top_k(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let op = Op::TopK { axis: n.int_or("axis", -1)?, largest: n.flag("largest", true)? };
    n.flag("sorted", true)?;
    let (x, k) = (n.input(0)?, n.input(1)?);
    let fact = b.fact(x);
    Ok(b.emit_outputs(op, vec![Some(x), Some(k)], &[fact, Fact { dtype: Some(DType::I64), ..fact }]))
}

pub(super) fn pad(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    match n.string("mode")?.as_str() {
        "" | "constant" => {}
        other => return Err(format!("with mode='{other}'").into()),
    }
    let x = n.input(0)?;
    let pads = required(operand(n, b, "pads", 1)?, "without pads")?;
    let value = match n.float("value")? {
        Some(value) => Some(b.scalar(value)),
        None => n.optional(2),
    };
    one(b.emit_optional(Op::Pad, vec![Some(x), Some(pads), value, n.optional(3)]))
}

/// Without a permutation, axes are reversed, for which the rank must be known.
pub(super) fn transpose(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let x = n.input(0)?;
    let perm: Vec<usize> = match n.ints("perm")? {
        Some(perm) => perm.iter().map(|&axis| usize::try_from(axis).unwrap_or(usize::MAX)).collect(),
        None => (0..b.rank(x)?).rev().collect(),
    };
    let mut free = vec![true; perm.len()];
    if !perm.iter().all(|&axis| free.get_mut(axis).is_some_and(std::mem::take)) {
        return Err("with a perm that is no permutation".into());
    }
    one(b.emit(Op::Transpose { perm }, &[x]))
}

/// The condition, then what each branch makes (see [`crate::branches`]).
pub(super) fn choose(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let (inputs, count) = (n.inputs()?, n.output_count);
    let Some((&condition, made)) = inputs.split_first().filter(|(_, made)| made.len() == 2 * count) else {
        return Err("without two branches that make its outputs".into());
    };
    let (yes, no) = made.split_at(count);
    Ok(yes.iter().zip(no).map(|(&yes, &no)| Some(b.emit(Op::If, &[condition, yes, no]))).collect())
}
