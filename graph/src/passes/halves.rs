//! Results are rounded to half floats where onnxruntime keeps them so on a CPU.
//!
//! Nearly all arithmetic there has kernels for f32 only, and between two of these nothing is rounded. What moves data
//! takes half floats as they are, and two of the operators that compute round their results to them: layer
//! normalisation, where it is one operator in the file, and the product with a weight in codes. But where all neighbours
//! of such an operator compute in f32, so does it.
//!
//! What attention reads and makes is rounded when it is found, see [`super::attention`].

use super::rewrite::{Draft, rewrite};
use crate::error::Failure;
use crate::ir::{DType, Model, Node, Op, Unary, ValueId};

/// Rounds what these operators read and make. To be run on the graph as it is in the file.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    if model.literal {
        return Ok(0);
    }
    let halves = in_halves(model);
    rewrite(model, |m, node, fresh| {
        let output = *node.outputs.first().filter(|id| halves.contains(id))?;
        let x = node.input(0)?;
        let is_half = m.producer(x).is_none_or(|p| moves(&p.op) || p.outputs.iter().any(|id| halves.contains(id)));
        let mut rounding = node.clone();
        if !is_half {
            rounding.inputs[0] = Some(fresh.node(Op::Unary(Unary::Half), &[x], &node.name));
        }
        match &mut rounding.op {
            // The bias comes after.
            Op::LinearBlocks { half, .. } if node.input(4).is_none() => *half = true,
            _ => {
                let exact = fresh.value();
                rounding.outputs[0] = exact;
                fresh.push(rounding);
                fresh.finish(Op::Unary(Unary::Half), &[exact], output, &node.name);
                return Some(());
            }
        }
        fresh.push(rounding);
        Some(())
    })
}

/// Results of the operators that compute in half floats.
fn in_halves(model: &Model) -> Vec<ValueId> {
    let mut halves = Vec::new();
    for node in model.nodes.iter().filter(|node| has_kernel(model, node)) {
        let is_made_of =
            |x: ValueId| halves.contains(&x) || model.nodes.iter().any(|n| moves(&n.op) && n.outputs.contains(&x));
        let is_read = |y: &ValueId| {
            let takes_halves = |n: &Node| moves(&n.op) || has_kernel(model, n);
            model.outputs.iter().any(|port| port.value == *y)
                || model.nodes.iter().any(|n| n.inputs.contains(&Some(*y)) && takes_halves(n))
        };
        if node.input(0).is_some_and(is_made_of) || node.outputs.first().is_some_and(is_read) {
            halves.extend(node.outputs.first());
        }
    }
    halves
}

/// Whether onnxruntime computes this in half floats, if a neighbour has some.
fn has_kernel(model: &Model, node: &Node) -> bool {
    let parameter = match node.op {
        Op::LayerNorm { .. } => node.input(1),
        Op::LinearBlocks { .. } => node.input(2),
        _ => None,
    };
    parameter.and_then(|id| model.constants.get(&id)).is_some_and(|t| t.dtype == DType::F16)
}

/// Whether an operator takes floats of any size as they are.
fn moves(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Unsqueeze
            | Op::Squeeze
            | Op::Flatten { .. }
            | Op::Expand
            | Op::Concat { .. }
            | Op::Split { .. }
            | Op::Slice
            | Op::Gather { .. }
            | Op::GatherNd { .. }
            | Op::Shape { .. }
            | Op::Cast(DType::F32)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Activation, Code, Moments, Tensor};
    use crate::testing::{Builder, noise};
    use crate::{Data, Options, Session, TensorView};

    fn halves(b: &mut Builder, shape: &[usize]) -> ValueId {
        let bits = (0..shape.iter().product()).flat_map(|i| half::f16::from_f32(1.0 + noise(i)).to_le_bytes());
        let data = bits.collect::<Vec<u8>>().into();
        b.constant(Tensor { dtype: DType::F16, shape: shape.to_vec(), data })
    }

    /// A product of `[rows, 32]` with codes.
    fn product(b: &mut Builder, x: ValueId, scales: ValueId) -> ValueId {
        let data = (0..32 * 16).map(|i| (i as u8).wrapping_mul(53)).collect();
        let codes = b.constant(Tensor { dtype: DType::U8, shape: vec![32, 1, 16], data });
        let op =
            Op::LinearBlocks { activation: Activation::None, code: Code::Uint4, block: 32, k: 32, n: 32, half: false };
        b.node(op, &[x, codes, scales])
    }

    /// Whether all of the output are half floats, for the graph that `build` makes of x.
    fn rounds(build: impl Fn(&mut Builder, ValueId) -> ValueId) -> bool {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "32"]);
        let x = b.node(Op::Unary(Unary::Tanh), &[x]);
        let y = build(&mut b, x);
        // Last, what computes in f32 and changes no bit.
        let y = b.node(Op::Unary(Unary::Neg), &[y]);
        let model = b.output(y);
        let data: Vec<f32> = (0..5 * 32).map(noise).collect();
        let mut session = Session::with_options(model, Options::default()).unwrap();
        let result = session.run(&[("x", TensorView { shape: &[5, 32], data: Data::F32(&data) })]).unwrap();
        let (_, y) = result.iter().next().unwrap();
        y.data.as_f32().unwrap().iter().all(|&y| half::f16::from_f32(y).to_f32() == y)
    }

    fn moved(b: &mut Builder, x: ValueId) -> ValueId {
        let turn = Op::Transpose { perm: vec![1, 0] };
        let x = b.node(turn.clone(), &[x]);
        let x = b.node(Op::Unary(Unary::Abs), &[x]);
        b.node(turn, &[x])
    }

    #[test]
    fn a_product_between_floats_stays_in_floats() {
        assert!(!rounds(|b, x| {
            let scales = halves(b, &[32, 1]);
            product(b, x, scales)
        }));
    }

    #[test]
    fn a_product_of_what_was_moved_is_rounded() {
        assert!(rounds(|b, x| {
            let (x, scales) = (moved(b, x), halves(b, &[32, 1]));
            product(b, x, scales)
        }));
        assert!(!rounds(|b, x| {
            let (x, scales) = (moved(b, x), b.weight(&[32, 1]));
            product(b, x, scales)
        }));
    }

    #[test]
    fn neighbours_that_take_halves_make_each_other_round() {
        let norm = Op::LayerNorm { axis: -1, epsilon: 1e-5, moments: Moments::default() };
        let normal = |b: &mut Builder, x| {
            let scale = halves(b, &[32]);
            b.node(norm.clone(), &[x, scale])
        };
        assert!(!rounds(normal));
        assert!(rounds(|b, x| {
            let (x, scales) = (normal(b, x), halves(b, &[32, 1]));
            product(b, x, scales)
        }));
    }

    /// What is added to the product is not rounded with it.
    #[test]
    fn the_bias_comes_after() {
        assert!(!rounds(|b, x| {
            let (x, scales, bias) = (moved(b, x), halves(b, &[32, 1]), b.weight(&[32]));
            let y = product(b, x, scales);
            b.node(Op::Binary(crate::ir::Binary::Add), &[y, bias])
        }));
    }
}
