//! `(x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + bias` becomes one operator.

use super::rewrite::{Draft, Fresh, Matcher, rewrite};
use crate::error::Failure;
use crate::ir::{Binary, Moments, Node, Op, Reduce, Unary, ValueId};

/// Fuses layer normalisations, then the scale and the bias that follow them.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    let count = rewrite(model, normalization)?;
    rewrite(model, |m, node, fresh| affine(m, node, fresh, Binary::Mul))?;
    rewrite(model, |m, node, fresh| affine(m, node, fresh, Binary::Add))?;
    Ok(count)
}

fn normalization(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let output = *node.outputs.first()?;
    let (difference, deviation) = match &node.op {
        Op::Binary(Binary::Div) => node.operands()?,
        Op::Binary(Binary::Mul) => {
            let (a, b) = node.operands()?;
            let inverse = |v: ValueId| m.producer(v).filter(|n| n.op == Op::Unary(Unary::Reciprocal))?.input(0);
            inverse(b).map(|d| (a, d)).or_else(|| inverse(a).map(|d| (b, d)))?
        }
        _ => return None,
    };
    let (variance, epsilon) = m.shifted(square_root(m, deviation)?)?;
    let (x, mean) = m.binary(difference, Binary::Sub)?;
    let squares = m.over_last_axis(variance, Reduce::Mean)?;
    if m.over_last_axis(mean, Reduce::Mean)? != x || square(m, squares)? != difference {
        return None;
    }
    fresh.finish(Op::LayerNorm { axis: -1, epsilon, moments: Moments::default() }, &[x], output, &node.name);
    Some(())
}

fn square_root(m: &Matcher, value: ValueId) -> Option<ValueId> {
    if let Some((x, power)) = m.binary(value, Binary::Pow) {
        return m.is_scalar(power, 0.5).then_some(x);
    }
    m.producer(value).filter(|n| n.op == Op::Unary(Unary::Sqrt))?.input(0)
}

fn square(m: &Matcher, value: ValueId) -> Option<ValueId> {
    if let Some((x, power)) = m.binary(value, Binary::Pow) {
        return m.is_scalar(power, 2.0).then_some(x);
    }
    m.binary(value, Binary::Mul).filter(|(a, b)| a == b).map(|(a, _)| a)
}

/// `LayerNorm(x) * scale` or `LayerNorm(x) [* scale] + bias`, with constants as long as the last axis.
fn affine(m: &Matcher, node: &Node, fresh: &mut Fresh, op: Binary) -> Option<()> {
    if node.op != Op::Binary(op) {
        return None;
    }
    let (a, b) = node.operands()?;
    let (normalized, parameter) = if m.constant(b).is_some() { (a, b) } else { (b, a) };
    let norm = m.producer(normalized).filter(|_| m.is_used_once(normalized))?;
    let Op::LayerNorm { axis: -1, .. } = norm.op else { return None };
    let width = m.shape(normalized)?.last()?;
    if m.constant(parameter)?.shape != [usize::try_from(width.known()?).ok()?] {
        return None;
    }
    let slot = if op == Binary::Mul { 1 } else { 2 };
    // A bias may follow without a scale; a scale may not follow a bias.
    if (slot..3).any(|i| norm.input(i).is_some()) {
        return None;
    }
    let mut fused = norm.giving(*node.outputs.first()?);
    fused.inputs.resize(slot, None);
    fused.inputs.push(Some(parameter));
    fresh.push(fused);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::DType;
    use crate::ir::Model;
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    /// As exporters write it before opset 17; `square` is how they square.
    fn model(square: fn(&mut Builder, ValueId) -> ValueId, affine: bool) -> Model {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["batch", "seq", "8"]);
        let last = b.integers(&[-1]);
        let mean = Op::Reduce { op: Reduce::Mean, keep_dims: true, noop_with_empty_axes: false };
        let center = b.node(mean.clone(), &[x, last]);
        let difference = b.node(Op::Binary(Binary::Sub), &[x, center]);
        let squares = square(&mut b, difference);
        let variance = b.node(mean, &[squares, last]);
        let epsilon = b.scalar(1e-12);
        let sum = b.node(Op::Binary(Binary::Add), &[variance, epsilon]);
        let deviation = b.node(Op::Unary(Unary::Sqrt), &[sum]);
        let mut y = b.node(Op::Binary(Binary::Div), &[difference, deviation]);
        if affine {
            let (scale, bias) = (b.weight(&[8]), b.weight(&[8]));
            let scaled = b.node(Op::Binary(Binary::Mul), &[scale, y]);
            y = b.node(Op::Binary(Binary::Add), &[scaled, bias]);
        }
        b.output(y)
    }

    fn power(b: &mut Builder, x: ValueId) -> ValueId {
        let two = b.scalar(2.0);
        b.node(Op::Binary(Binary::Pow), &[x, two])
    }

    fn product(b: &mut Builder, x: ValueId) -> ValueId {
        b.node(Op::Binary(Binary::Mul), &[x, x])
    }

    #[test]
    fn nine_nodes_become_one() {
        for model in [model(power, true), model(product, true), model(power, false)] {
            assert_eq!(optimized(&model), ["LayerNorm"]);
            assert_passes_keep_meaning(&model, &[&[2, 3, 8]]);
        }
    }

    #[test]
    fn a_mean_over_another_axis_is_left() {
        let mut model = model(power, true);
        for tensor in model.constants.values_mut().filter(|t| t.dtype == DType::I64) {
            *tensor = crate::ir::Tensor::vector_i64(&[1]);
        }
        assert!(!optimized(&model).contains(&"LayerNorm".to_string()));
        assert_passes_keep_meaning(&model, &[&[2, 3, 8]]);
    }
}
