//! Transposes and reshapes brought to one form: at most one of each in a row, nothing in the wrong place.

use super::rewrite::{Draft, Fresh, Matcher, rewrite};
use crate::dim::Dim;
use crate::error::Failure;
use crate::ir::{Node, Op, ValueId};

/// Joins neighbours.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    rewrite(model, |m, node, fresh| {
        inner_transpose(m, node, fresh).or_else(|| transposes(m, node, fresh)).or_else(|| reshapes(m, node, fresh))
    })
}

/// Whether the operator gives its first operand's elements in another shape.
pub(super) fn is_reshape(op: &Op) -> bool {
    matches!(op, Op::Reshape { .. } | Op::Unsqueeze | Op::Squeeze | Op::Flatten { .. })
}

/// `Transpose(Transpose(x))`
fn transposes(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let (Op::Transpose { perm: second }, x) = (&node.op, node.input(0)?) else { return None };
    let inner = m.producer(x)?;
    let Op::Transpose { perm: first } = &inner.op else { return None };
    let mut perm = Vec::with_capacity(second.len());
    for &axis in second {
        perm.push(*first.get(axis)?);
    }
    fresh.finish(Op::Transpose { perm }, &[inner.input(0)?], node.outputs[0], &node.name);
    Some(())
}

/// `Reshape(Reshape(x))`, and shapes that are computed although they are known.
fn reshapes(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let x = node.input(0)?;
    let inner = m.producer(x)?;
    if !is_reshape(&node.op) || !is_reshape(&inner.op) {
        return None;
    }
    fresh.finish_reshape(inner.input(0)?, m.shape(node.outputs[0])?, node.outputs[0], &node.name);
    Some(())
}

/// The dynamo exporter swaps the last two axes of a rank 4 tensor by way of rank 3:
/// `[b, h, s, d] -> [b h, s, d] -> [b h, d, s] -> [b, h, d, s]`.
fn inner_transpose(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let via = |value: ValueId, wanted: fn(&Op) -> bool| m.producer(value).filter(|n| wanted(&n.op));
    if !is_reshape(&node.op) {
        return None;
    }
    let swap = via(node.input(0)?, |op| matches!(op, Op::Transpose { perm } if perm == &[0, 2, 1]))?;
    let flat = via(swap.input(0)?, is_reshape)?;
    let x = flat.input(0)?;
    let (from, to) = (m.shape(x)?, m.shape(node.outputs[0])?);
    let [b, h, s, d]: &[Dim; 4] = from.try_into().ok()?;
    let joined = [b.mul(h), s.clone(), d.clone()];
    if m.shape(swap.input(0)?)? != joined || to != [b.clone(), h.clone(), d.clone(), s.clone()] {
        return None;
    }
    fresh.finish_transpose(x, &[0, 1, 3, 2], node.outputs[0], &node.name);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::DType;
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    #[test]
    fn opposite_transposes_and_reshapes_vanish() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["batch", "seq", "8"]);
        let (split, joined) = (b.integers(&[0, 0, 2, 4]), b.integers(&[0, 0, -1]));
        let y = b.node(Op::Reshape { allow_zero: false }, &[x, split]);
        let y = b.node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]);
        let y = b.node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]);
        let y = b.node(Op::Reshape { allow_zero: false }, &[y, joined]);
        let y = b.node(Op::Unary(crate::ir::Unary::Abs), &[y]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Abs"]);
        assert_passes_keep_meaning(&model, &[&[2, 3, 8]]);
    }

    #[test]
    fn transposes_compose() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["2", "3", "5"]);
        let y = b.node(Op::Transpose { perm: vec![1, 2, 0] }, &[x]);
        let y = b.node(Op::Transpose { perm: vec![0, 2, 1] }, &[y]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Transpose"]);
        assert_passes_keep_meaning(&model, &[&[2, 3, 5]]);
    }
}
