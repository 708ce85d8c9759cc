//! A product with a constant matrix becomes a linear layer, which packs its weight once and swallows what follows it:
//! bias, activation, residual.

use super::rewrite::{Draft, Fresh, Matcher, rewrite};
use crate::error::Failure;
use crate::ir::{Activation, Binary, DType, Node, Op, Tensor, Unary, ValueId};

/// Makes linear layers of `MatMul` and `Gemm`.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    rewrite(model, |m, node, fresh| matmul(m, node, fresh).or_else(|| gemm(m, node, fresh)))
}

/// Some optimisers flatten `[batch, seq, k]` to rows around every product. A linear layer does not care, so the reshape
/// moves behind it, where it meets its opposite.
pub fn unflatten(model: &mut Draft) -> Result<usize, Failure> {
    rewrite(model, |m, node, fresh| {
        if !matches!(node.op, Op::Linear { .. }) {
            return None;
        }
        let reshape = m.producer(node.input(0)?).filter(|n| matches!(n.op, Op::Reshape { .. }))?;
        let x = reshape.input(0)?;
        let (output, k) = (*node.outputs.first()?, m.shape(node.input(0)?)?.last()?);
        let (from, to) = (m.shape(x)?, m.shape(output)?);
        let alone = node.inputs.iter().skip(2).all(|id| id.is_none_or(|id| m.constant(id).is_some()));
        if from.last()? != k || from.len() < 2 || !alone {
            return None;
        }
        let inner = fresh.value();
        let mut linear = node.giving(inner);
        linear.inputs[0] = Some(x);
        fresh.push(linear);
        fresh.finish_reshape(inner, to, output, &node.name);
        Some(())
    })
}

/// Lets linear layers swallow one more operator each; to be repeated until there is none.
pub fn epilogue(model: &mut Draft) -> Result<usize, Failure> {
    let literal = model.literal;
    rewrite(model, |m, node, fresh| activation(m, node, literal, fresh).or_else(|| addition(m, node, literal, fresh)))
}

fn is_float_matrix(m: &Matcher, value: ValueId) -> bool {
    m.constant(value).is_some_and(is_float)
}

fn is_float(t: &Tensor) -> bool {
    t.shape.len() == 2 && t.dtype.runtime() == DType::F32
}

/// Whether `node` transposes a float matrix, which is `x`.
pub(super) fn turned(node: &Node, x: Option<&Tensor>) -> bool {
    matches!(&node.op, Op::Transpose { perm } if perm == &[1, 0]) && x.is_some_and(is_float)
}

fn matmul(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let (x, weight) = node.operands().filter(|_| node.op == Op::MatMul)?;
    let turn = m.producer(weight).filter(|n| turned(n, n.input(0).and_then(|w| m.constant(w))));
    let (weight, trans_b) = turn.and_then(|n| n.input(0)).map_or((weight, false), |weight| (weight, true));
    if !is_float_matrix(m, weight) {
        return None;
    }
    let op = Op::Linear { activation: Activation::None, alpha: 1.0, trans_b };
    fresh.finish(op, &[x, weight], node.outputs[0], &node.name);
    Some(())
}

fn gemm(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let Op::Gemm { alpha, beta, trans_a: false, trans_b } = node.op else { return None };
    let (x, weight) = node.operands()?;
    if !is_float_matrix(m, weight) {
        return None;
    }
    let mut operands = vec![x, weight];
    if let Some(bias) = node.input(2) {
        let n = m.constant(weight)?.shape[usize::from(!trans_b)];
        operands.push(as_bias(m, bias, n, fresh).filter(|_| beta == 1.0)?);
    }
    fresh.finish(Op::Linear { activation: Activation::None, alpha, trans_b }, &operands, node.outputs[0], &node.name);
    Some(())
}

/// A constant that adds one number to each of `n` columns, as a vector.
pub(super) fn as_bias(m: &Matcher, value: ValueId, n: usize, fresh: &mut Fresh) -> Option<ValueId> {
    let tensor = m.constant(value)?;
    match tensor.shape.as_slice() {
        [len] if *len == n => Some(value),
        [ones @ .., len] if *len == n && ones.iter().all(|&d| d == 1) => {
            Some(fresh.constant(Tensor { shape: vec![n], ..tensor.clone() }))
        }
        _ => None,
    }
}

/// Bias and residual slots of a linear layer, and its activation.
fn slots(op: &Op) -> Option<(usize, usize, Activation)> {
    match op {
        Op::Linear { activation, .. } => Some((2, 3, *activation)),
        Op::LinearInt8 { activation } => Some((6, 7, *activation)),
        Op::LinearBlocks { activation, .. } => Some((4, 5, *activation)),
        _ => None,
    }
}

/// The linear layer that alone is read by the node being looked at.
fn swallowed<'m>(m: &Matcher<'m>, value: ValueId) -> Option<&'m Node> {
    m.producer(value).filter(|n| slots(&n.op).is_some() && m.is_used_once(value))
}

fn with_operand(linear: &Node, slot: usize, value: ValueId, output: ValueId) -> Node {
    let mut fused = linear.giving(output);
    fused.inputs.resize(fused.inputs.len().max(slot + 1), None);
    fused.inputs[slot] = Some(value);
    fused
}

fn activation(m: &Matcher, node: &Node, literal: bool, fresh: &mut Fresh) -> Option<()> {
    let wanted = match node.op {
        Op::Unary(Unary::Relu) => Activation::Relu,
        _ if literal => return None,
        Op::Unary(Unary::Gelu) => Activation::Gelu,
        Op::Unary(Unary::GeluHalf) => Activation::GeluHalf,
        Op::Unary(Unary::GeluTanh) => Activation::GeluTanh,
        Op::Unary(Unary::Tanh) => Activation::Tanh,
        _ => return None,
    };
    let linear = swallowed(m, node.input(0)?)?;
    let (_, residual, present) = slots(&linear.op)?;
    if present != Activation::None || linear.input(residual).is_some() {
        return None;
    }
    let mut fused = linear.giving(*node.outputs.first()?);
    if let Op::Linear { activation, .. } | Op::LinearInt8 { activation } | Op::LinearBlocks { activation, .. } =
        &mut fused.op
    {
        *activation = wanted;
    }
    fresh.push(fused);
    Some(())
}

fn addition(m: &Matcher, node: &Node, literal: bool, fresh: &mut Fresh) -> Option<()> {
    let (a, b) = node.operands().filter(|_| node.op == Op::Binary(Binary::Add))?;
    let output = *node.outputs.first()?;
    for (x, other) in [(a, b), (b, a)] {
        let Some(linear) = swallowed(m, x) else { continue };
        let (bias, residual, activation) = slots(&linear.op)?;
        let n = usize::try_from(m.shape(x)?.last()?.known()?).ok()?;
        // Added after the residual in the graph, before it in the layer: another order.
        let reorders = literal && linear.input(residual).is_some();
        if linear.input(bias).is_none()
            && !reorders
            && activation == Activation::None
            && let Some(vector) = as_bias(m, other, n, fresh)
        {
            fresh.push(with_operand(linear, bias, vector, output));
            return Some(());
        }
        if linear.input(residual).is_none() && m.shape(x)? == m.shape(other)? {
            fresh.push(with_operand(linear, residual, other, output));
            return Some(());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    #[test]
    fn bias_activation_and_residual_are_swallowed() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["batch", "seq", "6"]);
        let (up, down) = (b.weight(&[6, 10]), b.weight(&[10, 6]));
        let (up_bias, down_bias) = (b.weight(&[10]), b.weight(&[1, 6]));
        let y = b.node(Op::MatMul, &[x, up]);
        let y = b.node(Op::Binary(Binary::Add), &[up_bias, y]);
        let y = b.node(Op::Unary(Unary::Relu), &[y]);
        let y = b.node(Op::MatMul, &[y, down]);
        let y = b.node(Op::Binary(Binary::Add), &[y, down_bias]);
        let y = b.node(Op::Binary(Binary::Add), &[y, x]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Linear+Relu", "Linear"]);
        assert_passes_keep_meaning(&model, &[&[2, 3, 6]]);
    }

    #[test]
    fn a_product_that_is_read_twice_keeps_its_value() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "4"]);
        let weight = b.weight(&[4, 4]);
        let y = b.node(Op::MatMul, &[x, weight]);
        let relu = b.node(Op::Unary(Unary::Relu), &[y]);
        let z = b.node(Op::Binary(Binary::Mul), &[relu, y]);
        let model = b.output(z);
        assert_eq!(optimized(&model), ["Linear", "Relu", "Mul"]);
        assert_passes_keep_meaning(&model, &[&[3, 4]]);
    }

    #[test]
    fn rows_flattened_around_a_product_are_not() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["batch", "seq", "4"]);
        let (weight, bias) = (b.weight(&[4, 6]), b.weight(&[6]));
        let (rows, back) = (b.integers(&[-1, 4]), b.node(Op::Shape { start: 0, end: 2 }, &[x]));
        let six = b.integers(&[6]);
        let back = b.node(Op::Concat { axis: 0 }, &[back, six]);
        let y = b.node(Op::Reshape { allow_zero: false }, &[x, rows]);
        let y = b.node(Op::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false }, &[y, weight, bias]);
        let y = b.node(Op::Reshape { allow_zero: false }, &[y, back]);
        let y = b.node(Op::Unary(Unary::Gelu), &[y]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Linear+Gelu"]);
        assert_passes_keep_meaning(&model, &[&[2, 3, 4]]);
    }

    #[test]
    fn gemm_with_its_bias() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "4"]);
        let (weight, bias) = (b.weight(&[3, 4]), b.weight(&[3]));
        let y = b.node(Op::Gemm { alpha: 0.5, beta: 1.0, trans_a: false, trans_b: true }, &[x, weight, bias]);
        let y = b.node(Op::Unary(Unary::Tanh), &[y]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Linear+Tanh"]);
        assert_passes_keep_meaning(&model, &[&[3, 4]]);
    }
}
