//! A softmax spelt out, as some optimisers leave it, becomes one operator: `exp(x - max(x)) / sum(exp(x - max(x)))`.

use super::rewrite::{Draft, Fresh, Matcher, rewrite};
use crate::error::Failure;
use crate::ir::{Binary, Node, Op, Reduce, Unary};

/// Fuses softmaxes over the last axis.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    rewrite(model, softmax)
}

fn softmax(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let (exponential, sum) = node.operands().filter(|_| node.op == Op::Binary(Binary::Div))?;
    let difference = m.producer(exponential).filter(|n| n.op == Op::Unary(Unary::Exp))?.input(0)?;
    let (x, max) = m.binary(difference, Binary::Sub)?;
    if m.over_last_axis(sum, Reduce::Sum)? != exponential || m.over_last_axis(max, Reduce::Max)? != x {
        return None;
    }
    fresh.finish(Op::Softmax { axis: -1, coerced: false }, &[x], *node.outputs.first()?, &node.name);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::DType;
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    #[test]
    fn five_nodes_become_one() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "7"]);
        let last = b.integers(&[-1]);
        let over = |op| Op::Reduce { op, keep_dims: true, noop_with_empty_axes: false };
        let max = b.node(over(Reduce::Max), &[x, last]);
        let difference = b.node(Op::Binary(Binary::Sub), &[x, max]);
        let exponential = b.node(Op::Unary(Unary::Exp), &[difference]);
        let sum = b.node(over(Reduce::Sum), &[exponential, last]);
        let y = b.node(Op::Binary(Binary::Div), &[exponential, sum]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Softmax"]);
        assert_passes_keep_meaning(&model, &[&[4, 7]]);
    }
}
