//! Convolutions with a kernel of one element, which are linear layers in another layout.
//!
//! SqueezeBERT spells its linear layers so: channels before positions, and the weight in groups, each of which sees
//! its own part of the channels. Channels are brought to the back, where matrix products want them, and forth again;
//! where one such layer follows another directly, the two transpositions meet and a pass makes them vanish.

use crate::builder::Builder;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, Op, Tensor, ValueId};

/// In floats; or u8 or i8 each, to i32, where the zero point of the weight is one number, or one for each channel of the
/// output.
pub(super) fn convert(integers: bool, n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let (x, weight) = (n.input(0), n.input(1));
    let (bias, x_zero, weight_zero) = match integers {
        true => (None, n.optional(2), n.optional(3)),
        false => (n.optional(2), None, None),
    };
    let op = || if integers { Op::MatMulInteger } else { Op::MatMul };
    let weight = Weight::read(n, b, weight)?;
    let x = weight.channels_last(b, x);
    let mut products = Vec::with_capacity(weight.groups);
    for (group, &x) in weight.split(b, x).iter().enumerate() {
        let rows = weight.rows(n, b, weight.value, group)?;
        let part = b.emit(Op::Transpose { perm: vec![1, 0] }, &[rows]);
        let zero = match weight_zero {
            Some(zero) if b.tensor(zero).is_some_and(|zero| zero.len() != 1) => weight.rows(n, b, zero, group),
            zero => zero,
        };
        products.push(b.emit_optional(op(), &[Some(x), Some(part), x_zero, zero]));
    }
    let mut y = together(b, &products);
    if let Some(bias) = bias {
        y = b.binary(Binary::Add, y, bias);
    }
    Some(weight.channels_first(b, y))
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
    fn read(n: &mut NodeReader<'_>, b: &Builder<'_>, value: ValueId) -> Option<Self> {
        let groups = usize::try_from(n.int_or("group", 1)).unwrap_or(0);
        // With one element there is nothing to dilate.
        n.ignore(&["kernel_shape", "dilations", "auto_pad"]);
        let (pads, strides) = (n.ints("pads").unwrap_or_default(), n.ints("strides").unwrap_or_default());
        if pads.iter().any(|&pad| pad != 0) || strides.iter().any(|&stride| stride != 1) {
            return n.reject("with padding or strides");
        }
        // Each group becomes nodes of its own: a small file must not become a large model.
        if !(1..=64).contains(&groups) {
            return n.reject("with a number of groups other than 1 to 64");
        }
        let Some(tensor) = b.tensor(value) else { return n.reject("with a weight that is no constant") };
        match tensor.shape[..] {
            [outputs, inputs, ref kernel @ ..] if kernel.iter().all(|&size| size == 1) && outputs % groups == 0 => {
                Some(Self { value, groups, rank: tensor.shape.len(), inputs, outputs })
            }
            _ => n.reject("with a kernel of more than one element, or channels that do not fill the groups"),
        }
    }

    fn channels_last(&self, b: &mut Builder<'_>, x: ValueId) -> ValueId {
        let mut perm: Vec<usize> = (0..self.rank).collect();
        perm[1..].rotate_left(1);
        b.emit(Op::Transpose { perm }, &[x])
    }

    fn channels_first(&self, b: &mut Builder<'_>, y: ValueId) -> ValueId {
        let mut perm: Vec<usize> = (0..self.rank).collect();
        perm[1..].rotate_right(1);
        b.emit(Op::Transpose { perm }, &[y])
    }

    /// For each group the channels that it sees.
    fn split(&self, b: &mut Builder<'_>, x: ValueId) -> Vec<ValueId> {
        if self.groups == 1 {
            return vec![x];
        }
        let sizes = b.ints(&vec![self.inputs as i64; self.groups]);
        b.split(-1, x, Some(sizes), self.groups)
    }

    /// What belongs to one group of a constant with a row for each channel that comes out, without its axes of one.
    fn rows(&self, n: &mut NodeReader<'_>, b: &mut Builder<'_>, value: ValueId, group: usize) -> Option<ValueId> {
        let rows = self.outputs / self.groups;
        let part = b.tensor(value).filter(|tensor| tensor.shape.first() == Some(&self.outputs)).map(|tensor| {
            let size = tensor.data.len() / self.groups;
            let mut shape = vec![rows];
            shape.extend(tensor.shape.get(1));
            Tensor { dtype: tensor.dtype, shape, data: tensor.data.slice(group * size..(group + 1) * size) }
        });
        match part {
            Some(part) => Some(b.constant(part)),
            None => n.reject("with zero points that are not one for each channel"),
        }
    }
}
