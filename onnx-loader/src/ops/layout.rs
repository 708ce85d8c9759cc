//! Operators that make, move and pick elements: the shape arithmetic of exported models, mostly.

use super::plain;
use crate::builder::{Builder, Fact};
use crate::reader::NodeReader;
use bytes::Bytes;
use fourlane_graph::ir::{DType, Op, Tensor, ValueId};

/// Axes: an attribute in old opsets, an input in new ones.
pub(super) fn axes(n: &mut NodeReader<'_>, b: &mut Builder<'_>, index: usize) -> Option<ValueId> {
    operand(n, b, "axes", index)
}

/// A list of integers that is an attribute in old opsets, an input in new ones.
fn operand(n: &mut NodeReader<'_>, b: &mut Builder<'_>, name: &str, index: usize) -> Option<ValueId> {
    match n.ints(name) {
        Some(values) => Some(b.ints(&values)),
        None => n.optional(index),
    }
}

/// As [`operand`], but it must be there.
fn required(n: &mut NodeReader<'_>, b: &mut Builder<'_>, name: &str, index: usize) -> Option<ValueId> {
    let operand = operand(n, b, name, index);
    if operand.is_none() { n.reject_for(format!("without {name}")) } else { operand }
}

/// `0, 1, ..` as many as `x` is long along `axis`, as i64.
pub(super) fn counter(b: &mut Builder<'_>, x: ValueId, axis: i64) -> ValueId {
    let length = b.emit(Op::Shape { start: axis, end: axis + 1 }, &[x]);
    let axes = b.ints(&[0]);
    let length = b.emit(Op::Squeeze, &[length, axes]);
    let (start, step) = (b.int(0), b.int(1));
    b.emit(Op::Range, &[start, length, step])
}

pub(super) fn constant(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    if let Some(mut tensor) = n.tensor("value") {
        let constant = b.constant_of(&mut tensor);
        return n.check(constant);
    }
    if let Some(value) = n.float("value_float") {
        return Some(b.scalar(value));
    }
    if let Some(values) = n.floats("value_floats") {
        let data = Bytes::copy_from_slice(bytemuck::cast_slice(&values));
        return Some(b.constant(Tensor { dtype: DType::F32, shape: vec![values.len()], data }));
    }
    if let Some(value) = n.int("value_int") {
        return Some(b.int(value));
    }
    match n.ints("value_ints") {
        Some(values) => Some(b.ints(&values)),
        None => n.reject("without a dense numeric value"),
    }
}

pub(super) fn constant_of_shape(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let value = match n.tensor("value") {
        Some(mut tensor) => n.check(b.decode(&mut tensor))?,
        None => Tensor::scalar_f32(0.0),
    };
    if value.data.len() != value.dtype.size() {
        return n.reject("with a value of other than one element");
    }
    let value = b.constant(Tensor { shape: Vec::new(), ..value });
    Some(b.emit(Op::Expand, &[value, n.input(0)]))
}

pub(super) fn reshape(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let allow_zero = n.flag("allowzero", false);
    plain(Op::Reshape { allow_zero }, 2, 0, n, b)
}

pub(super) fn gather(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let axis = n.int_or("axis", 0);
    plain(Op::Gather { axis }, 2, 0, n, b)
}

pub(super) fn gather_elements(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let axis = n.int_or("axis", 0);
    plain(Op::GatherElements { axis }, 2, 0, n, b)
}

pub(super) fn gather_nd(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    match usize::try_from(n.int_or("batch_dims", 0)) {
        Ok(batch_dims) => plain(Op::GatherNd { batch_dims }, 2, 0, n, b),
        Err(_) => n.reject("with negative batch_dims"),
    }
}

pub(super) fn cum_sum(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let op = Op::CumSum { exclusive: n.flag("exclusive", false), reverse: n.flag("reverse", false) };
    plain(op, 2, 0, n, b)
}

pub(super) fn shape(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let op = Op::Shape { start: n.int_or("start", 0), end: n.int_or("end", i64::MAX) };
    plain(op, 1, 0, n, b)
}

pub(super) fn flatten(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let axis = n.int_or("axis", 1);
    plain(Op::Flatten { axis }, 1, 0, n, b)
}

pub(super) fn concat(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let Some(axis) = n.int("axis") else { return n.reject("without an axis") };
    let inputs = n.inputs();
    Some(match inputs[..] {
        [x] => x,
        _ => b.emit(Op::Concat { axis }, &inputs),
    })
}

pub(super) fn unsqueeze(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let axes = required(n, b, "axes", 1)?;
    Some(b.emit(Op::Unsqueeze, &[n.input(0), axes]))
}

pub(super) fn squeeze(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let axes = axes(n, b, 1);
    Some(b.emit_optional(Op::Squeeze, &[Some(n.input(0)), axes]))
}

pub(super) fn slice(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let x = n.input(0);
    let (starts, ends) = (required(n, b, "starts", 1), required(n, b, "ends", 2));
    let axes = axes(n, b, 3);
    Some(b.emit_optional(Op::Slice, &[Some(x), starts, ends, axes, n.optional(4)]))
}

pub(super) fn split(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let x = n.input(0);
    let axis = n.int_or("axis", 0);
    let sizes = operand(n, b, "split", 1);
    let parts = n.output_count;
    if n.int("num_outputs").is_some_and(|count| count != parts as i64) {
        return n.reject("with another number of outputs than num_outputs");
    }
    let outputs = b.split(axis, x, sizes, parts);
    let Some((&first, more)) = outputs.split_first() else { return n.reject("without outputs") };
    for &output in more {
        n.more.push(Some(output));
    }
    Some(first)
}

/// Unsorted is sorted, too.
pub(super) fn top_k(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let op = Op::TopK { axis: n.int_or("axis", -1), largest: n.flag("largest", true) };
    n.flag("sorted", true);
    let (x, k) = (n.input(0), n.input(1));
    let fact = b.fact(x);
    let outputs = b.emit_outputs(op, &[Some(x), Some(k)], &[fact, Fact { dtype: Some(DType::I64), ..fact }]);
    n.more.push(outputs.get(1).copied());
    outputs.first().copied()
}

pub(super) fn pad(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.choice("mode", &["", "constant"])?;
    let x = n.input(0);
    let pads = required(n, b, "pads", 1);
    let value = match n.float("value") {
        Some(value) => Some(b.scalar(value)),
        None => n.optional(2),
    };
    Some(b.emit_optional(Op::Pad, &[Some(x), pads, value, n.optional(3)]))
}

/// Without a permutation, axes are reversed, for which the rank must be known.
pub(super) fn transpose(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let x = n.input(0);
    let mut perm: Vec<usize> = Vec::new();
    match n.ints("perm") {
        Some(axes) => axes.iter().for_each(|&axis| perm.push(usize::try_from(axis).unwrap_or(usize::MAX))),
        None => {
            let rank = n.rank(b, x)?;
            (0..rank).for_each(|axis| perm.push(rank - 1 - axis));
        }
    }
    let mut free = vec![true; perm.len()];
    if !perm.iter().all(|&axis| free.get_mut(axis).is_some_and(std::mem::take)) {
        return n.reject("with a perm that is no permutation");
    }
    Some(b.emit(Op::Transpose { perm }, &[x]))
}

/// The condition, then what each branch makes (see [`crate::branches`]).
pub(super) fn choose(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let (inputs, count) = (n.inputs(), n.output_count);
    if count == 0 || inputs.len() != 1 + 2 * count {
        return n.reject("without two branches that make its outputs");
    }
    let mut first = None;
    for output in 0..count {
        let chosen = b.emit(Op::If, &[inputs[0], inputs[1 + output], inputs[1 + count + output]]);
        if output == 0 { first = Some(chosen) } else { n.more.push(Some(chosen)) }
    }
    first
}
