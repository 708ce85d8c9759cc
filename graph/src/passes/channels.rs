//! Tensors with channels before tokens, as convolutional models have them, are turned as late as possible: a turn sinks
//! past what works element by element and past the splitting and joining of heads, until it meets its opposite.
//!
//! What is left is the form of all other models, in which layer normalisation, attention and linear layers are found. The
//! parts of a grouped product, whose results lie side by side, are scaled each by itself, as linear layers are.

use super::rewrite::{Draft, Fresh, Matcher, rewrite};
use crate::error::Failure;
use crate::ir::{Binary, DType, Node, Op, ValueId};

/// Lets turns sink by one operator, and scales into the parts of products.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    rewrite(model, |m, node, fresh| {
        sink(m, node, fresh)
            .or_else(|| split_heads(m, node, fresh))
            .or_else(|| join_heads(m, node, fresh))
            .or_else(|| scale_parts(m, node, fresh))
    })
}

/// Channels before tokens, or the other way around.
const TURN: &[usize] = &[0, 2, 1];

/// What `value` is by this permutation.
fn transposed(m: &Matcher, value: ValueId, wanted: &[usize]) -> Option<ValueId> {
    let node = m.producer(value)?;
    matches!(&node.op, Op::Transpose { perm } if perm == wanted).then(|| node.input(0))?
}

fn is_single(m: &Matcher, value: ValueId) -> bool {
    m.is_single(value) && m.shape(value).is_some_and(|shape| shape.len() <= 3)
}

/// `f(turn(x))` is `turn(f(x))`.
fn sink(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let is_step = matches!(
        node.op,
        Op::Unary(_)
            | Op::Binary(_)
            | Op::Cast(_)
            | Op::DynamicQuantizeLinear
            | Op::QuantizeLinear { .. }
            | Op::DequantizeLinear { .. }
    );
    let turned = |value: ValueId| transposed(m, value, TURN);
    if !is_step || !node.inputs.iter().flatten().any(|&id| turned(id).is_some()) {
        return None;
    }
    let mut sunk = node.clone();
    for id in sunk.inputs.iter_mut().flatten() {
        *id = match turned(*id) {
            Some(x) => x,
            None if is_single(m, *id) => *id,
            // Biases.
            None if m.constant(*id)?.shape.len() == 3 => fresh.transpose(*id, TURN, &node.name),
            None => return None,
        };
    }
    let output = sunk.outputs.first_mut()?;
    *output = fresh.value();
    let x = *output;
    fresh.push(sunk);
    fresh.finish_transpose(x, TURN, *node.outputs.first()?, &node.name);
    Some(())
}

/// `[batch, heads * dim, seq]` to `[batch, heads, dim, seq]`, of what is turned.
fn split_heads(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let Op::Reshape { .. } = node.op else { return None };
    let x = transposed(m, node.input(0)?, TURN)?;
    let output = *node.outputs.first()?;
    let ([batch, seq, hidden], [b, heads, dim, s]) = (m.shape(x)?, m.shape(output)?) else { return None };
    if b != batch || s != seq || heads.mul(dim) != *hidden {
        return None;
    }
    let split = fresh.reshape(x, &[batch.clone(), seq.clone(), heads.clone(), dim.clone()], &node.name);
    fresh.finish_transpose(split, &[0, 2, 3, 1], output, &node.name);
    Some(())
}

/// `[batch, heads, seq, dim]` by way of `[batch, heads, dim, seq]` to `[batch, heads * dim, seq]`.
fn join_heads(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let Op::Reshape { .. } = node.op else { return None };
    let x = transposed(m, node.input(0)?, &[0, 1, 3, 2])?;
    let output = *node.outputs.first()?;
    let ([batch, heads, seq, dim], [b, hidden, s]) = (m.shape(x)?, m.shape(output)?) else { return None };
    if b != batch || s != seq || heads.mul(dim) != *hidden {
        return None;
    }
    let rows = fresh.transpose(x, &[0, 2, 1, 3], &node.name);
    let joined = fresh.reshape(rows, &[batch.clone(), seq.clone(), hidden.clone()], &node.name);
    fresh.finish_transpose(joined, TURN, output, &node.name);
    Some(())
}

/// `Cast(Concat(products))`, and `Concat(Cast(products)...) * scale`.
fn scale_parts(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let is_product = |value: ValueId| m.producer(value).is_some_and(|n| n.op == Op::MatMulInteger);
    let is_cast = |value: ValueId| {
        m.producer(value).filter(|n| n.op == Op::Cast(DType::F32)).and_then(|n| n.input(0)).is_some_and(is_product)
    };
    let (value, scale) = match node.op {
        Op::Cast(DType::F32) => (node.input(0)?, None),
        Op::Binary(Binary::Mul) => {
            let (a, b) = node.operands()?;
            if is_single(m, b) { (a, Some(b)) } else { (b, Some(a).filter(|&a| is_single(m, a))) }
        }
        _ => return None,
    };
    let concat = m.producer(value).filter(|n| matches!(n.op, Op::Concat { .. }))?;
    let fits = |part: ValueId| if scale.is_some() { is_cast(part) } else { is_product(part) };
    if !concat.inputs.iter().flatten().all(|&part| fits(part)) {
        return None;
    }
    let mut parts = Vec::with_capacity(concat.inputs.len());
    for &part in concat.inputs.iter().flatten() {
        let mut operands = vec![part];
        operands.extend(scale);
        parts.push(fresh.node(node.op.clone(), &operands, &node.name));
    }
    fresh.finish(concat.op.clone(), &parts, *node.outputs.first()?, &node.name);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Tensor, Unary};
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    /// Attention and an activation on channels before tokens, as SqueezeBERT has them.
    fn turn() -> Op {
        Op::Transpose { perm: TURN.to_vec() }
    }

    #[test]
    fn all_turns_meet_their_opposites() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["batch", "seq", "8"]);
        let x = b.node(turn(), &[x]);
        let convolution = |b: &mut Builder, x: ValueId| {
            let (weight, bias) = (b.weight(&[8, 8]), b.weight(&[1, 8, 1]));
            let x = b.node(turn(), &[x]);
            let y = b.node(Op::MatMul, &[x, weight]);
            let y = b.node(turn(), &[y]);
            b.node(Op::Binary(Binary::Add), &[y, bias])
        };
        let split = b.integers(&[0, 2, 4, -1]);
        let [q, k, v] = [0; 3].map(|_| {
            let y = convolution(&mut b, x);
            b.node(Op::Reshape { allow_zero: false }, &[y, split])
        });
        let swap = || Op::Transpose { perm: vec![0, 1, 3, 2] };
        let (q, v) = (b.node(swap(), &[q]), b.node(swap(), &[v]));
        let scores = b.node(Op::MatMul, &[q, k]);
        let weights = b.node(Op::Softmax { axis: -1, coerced: false }, &[scores]);
        let y = b.node(Op::MatMul, &[weights, v]);
        let y = b.node(swap(), &[y]);
        let joined = b.integers(&[0, 8, -1]);
        let y = b.node(Op::Reshape { allow_zero: false }, &[y, joined]);
        let y = convolution(&mut b, y);
        let y = b.node(Op::Binary(Binary::Add), &[y, x]);
        let y = b.node(Op::Unary(Unary::Gelu), &[y]);
        let y = b.node(turn(), &[y]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Linear", "Linear", "Linear", "Attention", "Linear", "Gelu"]);
        assert_passes_keep_meaning(&model, &[&[2, 5, 8]]);
    }

    #[test]
    fn parts_of_grouped_products_are_layers() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["batch", "seq", "8"]);
        let x = b.node(turn(), &[x]);
        let quantized = b.nodes(Op::DynamicQuantizeLinear, &[x], 3);
        let y = b.node(turn(), &[quantized[0]]);
        let sizes = b.integers(&[4, 4]);
        let parts = b.nodes(Op::Split { axis: -1 }, &[y, sizes], 2);
        let parts: Vec<ValueId> = parts
            .into_iter()
            .map(|part| {
                let bytes: Vec<u8> = (0..20u8).map(|i| i.wrapping_mul(53)).collect();
                let weight = b.constant(Tensor { dtype: DType::I8, shape: vec![4, 5], data: bytes.into() });
                b.node(Op::MatMulInteger, &[part, weight, quantized[2]])
            })
            .collect();
        let y = b.node(Op::Concat { axis: -1 }, &parts);
        let y = b.node(turn(), &[y]);
        let y = b.node(Op::Cast(DType::F32), &[y]);
        let scale = b.scalar(0.01);
        let scales = b.node(Op::Binary(Binary::Mul), &[quantized[1], scale]);
        let y = b.node(Op::Binary(Binary::Mul), &[scales, y]);
        let y = b.node(turn(), &[y]);
        let model = b.output(y);
        let wanted = ["DynamicQuantizeLinear", "Split", "LinearInt8", "LinearInt8", "Concat"];
        assert_eq!(optimized(&model), wanted);
        assert_passes_keep_meaning(&model, &[&[2, 3, 8]]);
        // By default each token has a range of its own, of which each group takes its part.
        let mut model = model;
        crate::passes::run(&mut model, &crate::Options::default()).unwrap();
        assert!(model.nodes.iter().any(|node| node.op == Op::QuantizeRows));
    }
}
