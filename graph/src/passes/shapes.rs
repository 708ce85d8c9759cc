//! Shape arithmetic goes: a vector that follows from the input's shape is written as such.
//!
//! `Shape -> Gather -> Unsqueeze -> Concat` becomes one [`Op::Dims`] that holds the expressions, or a constant where they
//! are numbers. Inference has done the work; what it knows is only written down here.

use super::rewrite::Draft;
use crate::dim;
use crate::error::Failure;
use crate::infer::Fact;
use crate::ir::{DType, Op, Tensor};

/// Replaces nodes whose elements inference knows.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    let inference = model.take_inference()?;
    let mut count = 0;
    let nodes = std::mem::take(&mut model.nodes);
    for mut node in nodes {
        let fact = match node.outputs.as_slice() {
            [output] if !matches!(node.op, Op::Dims(_)) => inference.get(*output).map(|fact| (*output, fact)),
            _ => None,
        };
        let Some((output, fact)) = fact else {
            model.nodes.push(node);
            continue;
        };
        if let Some(tensor) = as_constant(fact) {
            model.constants.insert(output, tensor);
            count += 1;
            continue;
        }
        if let Some(elements) = &fact.elements
            && fact.dtype == DType::I64
            && fact.shape.len() == 1
        {
            node.op = Op::Dims(elements.clone());
            node.inputs = Vec::new();
            count += 1;
        }
        model.nodes.push(node);
    }
    model.put_back(inference);
    Ok(count)
}

fn as_constant(fact: &Fact) -> Option<Tensor> {
    let known = dim::known(fact.elements.as_ref()?)?;
    let shape = dim::known_sizes(&fact.shape)?;
    Some(Tensor::of_integers(fact.dtype, shape, &known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Binary;
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    /// `where(concat(batch, 1, seq) == -1, 1, concat(..))`, as exporters guard `expand`.
    #[test]
    fn arithmetic_on_shapes_is_not_executed() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["batch", "seq", "4"]);
        let shape = b.node(Op::Shape { start: 0, end: i64::MAX }, &[x]);
        let [zero, one] = [0, 1].map(|i| b.integers(&[i]));
        let pick = Op::Gather { axis: 0 };
        let (batch, seq) = (b.node(pick.clone(), &[shape, zero]), b.node(pick, &[shape, one]));
        let target = b.node(Op::Concat { axis: 0 }, &[batch, one, seq]);
        let minus = b.integers(&[-1]);
        let is_any = b.node(Op::Binary(Binary::Equal), &[target, minus]);
        let target = b.node(Op::Where, &[is_any, one, target]);
        let half = b.floats(&[1, 1, 1], &[0.5]);
        let y = b.node(Op::Expand, &[half, target]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Expand"]);
        assert_passes_keep_meaning(&model, &[&[2, 3, 4]]);
    }
}
