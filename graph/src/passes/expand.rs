//! Element-wise work on an expanded tensor is done before the expansion: a mask is `[batch, 1, 1, seq]` for longer.

use super::rewrite::{Draft, rewrite};
use crate::error::Failure;
use crate::ir::{Op, ValueId};

/// Moves `Expand` behind element-wise operators.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    rewrite(model, |m, node, fresh| {
        if !matches!(node.op, Op::Unary(_) | Op::Binary(_) | Op::Where | Op::Cast(_)) {
            return None;
        }
        let expansion = |id: ValueId| m.producer(id).filter(|n| n.op == Op::Expand);
        let whole = m.shape(node.outputs[0])?;
        let (mut shape, mut small) = (None, Vec::with_capacity(node.inputs.len()));
        for &id in &node.inputs {
            let id = id?;
            match expansion(id) {
                Some(expand) if m.shape(id) == Some(whole) => {
                    small.push(expand.input(0)?);
                    shape = shape.or(expand.input(1));
                }
                None if m.is_single(id) => small.push(id),
                _ => return None,
            }
        }
        let shape = shape?;
        let small = fresh.node(node.op.clone(), &small, &node.name);
        fresh.finish(Op::Expand, &[small, shape], node.outputs[0], &node.name);
        Some(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Binary, DType};
    use crate::testing::{Builder, assert_passes_keep_meaning};

    #[test]
    fn a_mask_is_computed_before_it_grows() {
        let mut b = Builder::default();
        let mask = b.input("mask", DType::I64, &["batch", "1", "1", "seq"]);
        let other = b.input("other", DType::F32, &["batch", "1", "seq", "seq"]);
        let shape = b.node(Op::Shape { start: 0, end: i64::MAX }, &[other]);
        let y = b.node(Op::Expand, &[mask, shape]);
        let y = b.node(Op::Cast(DType::F32), &[y]);
        let one = b.scalar(1.0);
        let y = b.node(Op::Binary(Binary::Sub), &[one, y]);
        let model = b.output(y);
        assert_passes_keep_meaning(&model, &[&[2, 1, 1, 3], &[2, 1, 3, 3]]);
        let mut improved = model;
        crate::passes::run(&mut improved, &crate::testing::LITERAL).unwrap();
        assert_eq!(improved.nodes.last().map(|n| n.op.name()).as_deref(), Some("Expand"));
    }
}
