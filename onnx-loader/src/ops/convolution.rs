//! Convolutions with a kernel of one element, which are linear layers in another layout.
//!
//! SqueezeBERT spells its linear layers so: channels before positions, and the weight in groups, each of which sees
//! its own part of the channels. Channels are brought to the back, where matrix products want them, and forth again;
//! where one such layer follows another directly, the two transpositions meet and a pass makes them vanish.

use super::{Outputs, one};
use crate::builder::Builder;
use crate::error::Reject;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, Op, Tensor, ValueId};

pub(super) fn float(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let (x, weight, bias) = (n.input(0)?, n.input(1)?, n.optional(2));
    let weight = Weight::read(n, b, weight)?;
    let x = weight.channels_last(b, x);
    let mut products = Vec::with_capacity(weight.groups);
    for (x, weight) in weight.parts(b, x)? {
        products.push(b.emit(Op::MatMul, &[x, weight]));
    }
    let mut y = together(b, &products);
    if let Some(bias) = bias {
        y = b.binary(Binary::Add, y, bias);
    }
    one(weight.channels_first(b, y))
}

/// u8 or i8 each, to i32; the zero point of the weight is one number, or one for each channel of the output.
pub(super) fn integer(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    let (x, weight) = (n.input(0)?, n.input(1)?);
    let (x_zero, weight_zero) = (n.optional(2), n.optional(3));
    let weight = Weight::read(n, b, weight)?;
    let x = weight.channels_last(b, x);
    let mut products = Vec::with_capacity(weight.groups);
    for (group, (x, part)) in weight.parts(b, x)?.into_iter().enumerate() {
        let zero = match weight_zero {
            Some(zero) if b.tensor(zero).is_none_or(|zero| zero.len() == 1) => Some(zero),
            Some(zero) => Some(weight.rows(b, zero, group)?),
            None => None,
        };
        products.push(b.emit_optional(Op::MatMulInteger, vec![Some(x), Some(part), x_zero, zero]));
    }
    let y = together(b, &products);
    one(weight.channels_first(b, y))
}

/// Side by side along the channels, which are last.
fn together(b: &mut Builder<'_>, parts: &[ValueId]) -> ValueId {
    match parts {
        [part] => *part,
        _ => b.emit(Op::Concat { axis: -1 }, parts),
    }
}

/// A weight `[channels out, channels in / groups, 1...]`.
struct Weight {
    value: ValueId,
    groups: usize,
    /// Rank of what it is applied to.
    rank: usize,
    /// Channels that go into each group.
    inputs: usize,
    /// Channels that come out of all groups.
    outputs: usize,
}

impl Weight {
    fn read(n: &mut NodeReader, b: &Builder<'_>, value: ValueId) -> Result<Self, Reject> {
        let groups = usize::try_from(n.int_or("group", 1)?).unwrap_or(0);
        // With one element there is nothing to dilate.
        n.ignore(&["kernel_shape", "dilations"]);
        n.string("auto_pad")?;
        let is = |values: Option<Vec<i64>>, wanted| values.is_none_or(|all| all.iter().all(|&v| v == wanted));
        if !is(n.ints("pads")?, 0) || !is(n.ints("strides")?, 1) {
            return Err("with padding or strides".into());
        }
        // Each group becomes nodes of its own: a small file must not become a large model.
        if !(1..=64).contains(&groups) {
            return Err("with a number of groups other than 1 to 64".into());
        }
        let Some(tensor) = b.tensor(value) else { return Err("with a weight that is no constant".into()) };
        match tensor.shape[..] {
            [outputs, inputs, ref kernel @ ..] if kernel.iter().all(|&size| size == 1) && outputs % groups == 0 => {
                Ok(Self { value, groups, rank: tensor.shape.len(), inputs, outputs })
            }
            _ => Err("with a kernel of more than one element, or channels that do not fill the groups".into()),
        }
    }

    fn channels_last(&self, b: &mut Builder<'_>, x: ValueId) -> ValueId {
        let perm = [0].into_iter().chain(2..self.rank).chain([1]).collect();
        b.emit(Op::Transpose { perm }, &[x])
    }

    fn channels_first(&self, b: &mut Builder<'_>, y: ValueId) -> ValueId {
        let perm = [0, self.rank - 1].into_iter().chain(1..self.rank - 1).collect();
        b.emit(Op::Transpose { perm }, &[y])
    }

    /// For each group the channels that it sees and its weight `[channels in, channels out]`.
    fn parts(&self, b: &mut Builder<'_>, x: ValueId) -> Result<Vec<(ValueId, ValueId)>, Reject> {
        let xs = if self.groups == 1 {
            vec![Some(x)]
        } else {
            let sizes = vec![i64::try_from(self.inputs).unwrap_or(i64::MAX); self.groups];
            let sizes = b.ints(&sizes);
            let facts = vec![b.fact(x); self.groups];
            b.emit_outputs(Op::Split { axis: -1 }, vec![Some(x), Some(sizes)], &facts)
        };
        let mut parts = Vec::with_capacity(self.groups);
        for (group, x) in xs.into_iter().flatten().enumerate() {
            let rows = self.rows(b, self.value, group)?;
            parts.push((x, b.emit(Op::Transpose { perm: vec![1, 0] }, &[rows])));
        }
        Ok(parts)
    }

    /// What belongs to one group of a constant with a row for each channel that comes out, without its axes of one.
    fn rows(&self, b: &mut Builder<'_>, value: ValueId, group: usize) -> Result<ValueId, Reject> {
        let rows = self.outputs / self.groups;
        let part = b.tensor(value).filter(|tensor| tensor.shape.first() == Some(&self.outputs)).map(|tensor| {
            let size = tensor.data.len() / self.groups;
            let mut shape = vec![rows];
            shape.extend(tensor.shape.get(1));
            Tensor { dtype: tensor.dtype, shape, data: tensor.data.slice(group * size..(group + 1) * size) }
        });
        match part {
            Some(part) => Ok(b.constant(part)),
            None => Err("with zero points that are not one for each channel".into()),
        }
    }
}
