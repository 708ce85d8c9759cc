//! Scaled dot-product attention, found in the operators that exporters spell it with, becomes one operator on
//! `[batch, seq, hidden]` tensors: no transposes, no score tensors, no expanded masks.
//!
//! The pattern is walked backwards from the product with v: an optional guard against NaN, the softmax, then in any
//! order scalings, additive masks and `Where` masks, down to the product of q and k. Each of q, k and v is followed
//! through transposes and scalings to the reshape that split the heads.

use super::rewrite::{Draft, Fresh, Matcher, rewrite};
use crate::dim::{Dim, checked_mul};
use crate::error::Failure;
use crate::ir::{Binary, DType, Node, Op, Tensor, Unary, ValueId};

/// Fuses attention; [`Op::AttentionHeads`] is spelt out before, so that there is one pattern.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    spell_out(model, false)?;
    rewrite(model, attention)
}

/// Writes [`Op::AttentionHeads`], and [`Op::Attention`] if `all`, in the operators that they stand for.
pub fn spell_out(model: &mut Draft, all: bool) -> Result<usize, Failure> {
    let rounds = if all { 2 } else { 1 };
    (0..rounds).try_fold(0, |count, _| {
        let found = rewrite(model, |m, node, fresh| match node.op {
            Op::AttentionHeads { scale } => heads_spelt_out(m, node, scale, fresh),
            Op::Attention { heads, scale } if all => heads_apart(m, node, heads, scale, fresh),
            _ => None,
        })?;
        Ok(count + found)
    })
}

/// [`Op::Attention`] as [`Op::AttentionHeads`], whose heads have an axis of their own.
fn heads_apart(m: &Matcher, node: &Node, heads: usize, scale: f32, fresh: &mut Fresh) -> Option<()> {
    let output = *node.outputs.first()?;
    let swap = |x: ValueId, fresh: &mut Fresh| fresh.transpose(x, &[0, 2, 1, 3], &node.name);
    let mut inputs = node.inputs.clone();
    for slot in inputs.iter_mut().take(3) {
        let x = (*slot)?;
        let apart = fresh.constant(Tensor::vector_i64(&[0, 0, i64::try_from(heads).ok()?, -1]));
        let x = fresh.node(Op::Reshape { allow_zero: false }, &[x, apart], &node.name);
        *slot = Some(swap(x, fresh));
    }
    let result = fresh.value();
    let op = Op::AttentionHeads { scale: Some(scale) };
    fresh.push(Node { op, inputs, outputs: vec![result], name: node.name.clone() });
    let rows = swap(result, fresh);
    fresh.finish_reshape(rows, m.shape(output)?, output, &node.name);
    Some(())
}

fn heads_spelt_out(m: &Matcher, node: &Node, scale: Option<f32>, fresh: &mut Fresh) -> Option<()> {
    let (q, k, v) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let head_dim = m.shape(q)?.get(3)?.known();
    let scale = scale.or_else(|| head_dim.map(|d| 1.0 / (d as f32).sqrt()))?;
    let name = &node.name;
    let k = fresh.transpose(k, &[0, 1, 3, 2], name);
    let scores = fresh.node(Op::MatMul, &[q, k], name);
    let scale = fresh.constant(Tensor::scalar_f32(scale));
    let mut scores = fresh.node(Op::Binary(Binary::Mul), &[scores, scale], name);
    if let Some(mask) = node.input(3) {
        scores = fresh.node(Op::Binary(Binary::Add), &[scores, mask], name);
    }
    let weights = fresh.node(Op::Softmax { axis: -1, coerced: false }, &[scores], name);
    fresh.finish(Op::MatMul, &[weights, v], *node.outputs.first()?, name);
    Some(())
}

/// A `[batch, seq, hidden]` tensor read as heads.
struct Heads {
    source: ValueId,
    /// Axes of `[batch, seq, heads, dim]` in the order in which the product reads them.
    perm: [usize; 4],
    scale: f32,
    heads: i64,
    dim: i64,
}

fn heads(m: &Matcher, mut value: ValueId) -> Option<Heads> {
    let mut perm = [0, 1, 2, 3];
    let mut scale = 1.0;
    loop {
        if let Some((x, c)) = m.scaled(value) {
            scale *= c;
            value = x;
            continue;
        }
        let node = m.producer(value)?;
        match &node.op {
            Op::Transpose { perm: inner } => {
                for axis in &mut perm {
                    *axis = *inner.get(*axis)?;
                }
                value = node.input(0)?;
            }
            Op::Reshape { .. } => {
                let mut source = node.input(0)?;
                let [batch, _, heads, dim] = m.shape(value)? else { return None };
                let (heads, dim) = (heads.known()?, dim.known()?);
                let hidden = Dim::Const(checked_mul(heads, dim)?);
                // The sequence may go by two names, that of the ids and that of their mask: a reshape that keeps the
                // batch keeps it too.
                if !matches!(m.shape(source)?, [b, _, h] if b == batch && *h == hidden) {
                    return None;
                }
                while let Some((x, c)) = m.scaled(source).filter(|_| m.is_used_once(source)) {
                    scale *= c;
                    source = x;
                }
                return Some(Heads { source, perm, scale, heads, dim });
            }
            _ => return None,
        }
    }
}

/// What is added to the scores.
enum Mask {
    Values(ValueId),
    /// `fill` where `condition` is true (or false, if `inverted`), else 0.
    Fill {
        condition: ValueId,
        fill: ValueId,
        inverted: bool,
    },
}

struct Scores {
    q: ValueId,
    k: ValueId,
    scale: f32,
    masks: Vec<Mask>,
}

/// Whether scalings and masks lead from `value` back to a product of two computed tensors.
fn leads_to_scores(m: &Matcher, value: ValueId, depth: usize) -> bool {
    let Some(node) = m.producer(value).filter(|_| depth > 0) else { return false };
    let next = |i| node.input(i).is_some_and(|v| leads_to_scores(m, v, depth - 1));
    match node.op {
        Op::MatMul => m.shape(value).is_some_and(|s| s.len() == 4),
        Op::Binary(Binary::Add | Binary::Mul) => next(0) || next(1),
        Op::Binary(Binary::Div) => next(0),
        Op::Where => next(1) || next(2),
        _ => false,
    }
}

fn scores(m: &Matcher, mut value: ValueId) -> Option<Scores> {
    const DEPTH: usize = 6;
    let mut scale = 1.0;
    let mut masks = Vec::new();
    for _ in 0..DEPTH {
        if let Some((x, c)) = m.scaled(value) {
            scale *= c;
            value = x;
            continue;
        }
        let node = m.producer(value)?;
        match node.op {
            Op::MatMul => {
                let (q, k) = node.operands()?;
                return Some(Scores { q, k, scale, masks });
            }
            // A mask under a scaling would have to be scaled too; nobody exports that.
            _ if scale != 1.0 => return None,
            Op::Binary(Binary::Add) => {
                let (a, b) = node.operands()?;
                let (inner, mask) = if leads_to_scores(m, a, DEPTH) { (a, b) } else { (b, a) };
                masks.push(Mask::Values(mask));
                value = inner;
            }
            Op::Where => {
                let (condition, x, y) = (node.input(0)?, node.input(1)?, node.input(2)?);
                let inverted = m.scalar(y).is_some();
                let (fill, inner) = if inverted { (y, x) } else { (x, y) };
                m.scalar(fill)?;
                masks.push(Mask::Fill { condition, fill, inverted });
                value = inner;
            }
            _ => return None,
        }
    }
    None
}

/// The value under expansions: attention broadcasts by itself.
fn unexpanded(m: &Matcher, value: ValueId) -> ValueId {
    match m.producer(value) {
        Some(node) if node.op == Op::Expand => node.input(0).map_or(value, |x| unexpanded(m, x)),
        _ => value,
    }
}

/// The softmax's result under `Where(IsNaN(p), 0, p)`: a row without any key gives zeros, as ours does by itself.
fn under_nan_guard(m: &Matcher, value: ValueId) -> ValueId {
    let guarded = || {
        let node = m.producer(value).filter(|n| n.op == Op::Where)?;
        let test = m.producer(node.input(0)?).filter(|n| n.op == Op::Unary(Unary::IsNan))?;
        let p = node.input(2)?;
        (test.input(0)? == p && m.scalar(node.input(1)?)? == 0.0).then_some(p)
    };
    guarded().unwrap_or(value)
}

/// Whether `value` is made with constants that are half floats, so is one itself.
fn holds_halves(m: &Matcher, value: ValueId) -> bool {
    let is_half = |&id: &ValueId| m.constant(id).is_some_and(|t| t.dtype == DType::F16);
    m.producer(value).is_some_and(|node| node.inputs.iter().flatten().any(is_half))
}

fn attention(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    if node.op != Op::MatMul {
        return None;
    }
    let (weights, v) = node.operands()?;
    let softmax = m.producer(under_nan_guard(m, weights))?;
    let Op::Softmax { axis: -1 | 3, .. } = softmax.op else { return None };
    let scores = scores(m, softmax.input(0)?)?;
    let (q, k, v) = (heads(m, scores.q)?, heads(m, scores.k)?, heads(m, v)?);
    let in_place = q.perm == [0, 2, 1, 3] && k.perm == [0, 2, 3, 1] && v.perm == [0, 2, 1, 3];
    if !in_place || q.heads != k.heads || q.heads != v.heads || q.dim != k.dim || v.scale != 1.0 {
        return None;
    }
    let (name, output) = (&node.name, *node.outputs.first()?);
    let mut mask = None;
    for part in scores.masks {
        let part = match part {
            Mask::Values(mask) => unexpanded(m, mask),
            Mask::Fill { condition, fill, inverted } => {
                let (condition, zero) = (unexpanded(m, condition), fresh.constant(Tensor::scalar_f32(0.0)));
                let (x, y) = if inverted { (zero, fill) } else { (fill, zero) };
                fresh.node(Op::Where, &[condition, x, y], name)
            }
        };
        mask = Some(mask.map_or(part, |other| fresh.node(Op::Binary(Binary::Add), &[other, part], name)));
    }
    let op = Op::Attention { heads: q.heads as usize, scale: scores.scale * q.scale * k.scale };
    let is_half = holds_halves(m, v.source);
    let stored = |x, fresh: &mut Fresh| if is_half { fresh.node(Op::Unary(Unary::Half), &[x], name) } else { x };
    let mut operands = vec![stored(q.source, fresh), stored(k.source, fresh), stored(v.source, fresh)];
    operands.extend(mask);
    let joined = fresh.node(op, &operands, name);
    let joined = stored(joined, fresh);
    // Back to the shape that the product had; `layout` removes this against what the exporter does next.
    let [batch, heads, seq, dim] = m.shape(output)? else { return None };
    let split = fresh.reshape(joined, &[batch.clone(), seq.clone(), heads.clone(), dim.clone()], name);
    fresh.finish_transpose(split, &[0, 2, 1, 3], output, name);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Model;
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};
    use crate::{Data, Options, Session, TensorView};

    /// How the scores are masked.
    type Masking = fn(&mut Builder, ValueId, ValueId) -> ValueId;

    /// Two heads of 4, split and joined as exporters do; `k_by_rank_3` transposes k as the dynamo exporter does.
    fn model(masking: Masking, k_by_rank_3: bool) -> Model {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["batch", "seq", "8"]);
        let mask = b.input("mask", DType::I64, &["batch", "seq"]);
        let shape = b.integers(&[0, -1, 2, 4]);
        let split = |b: &mut Builder, perm: [usize; 4]| {
            let weight = b.weight(&[8, 8]);
            let y = b.node(Op::MatMul, &[x, weight]);
            let y = b.node(Op::Reshape { allow_zero: false }, &[y, shape]);
            b.node(Op::Transpose { perm: perm.to_vec() }, &[y])
        };
        let q = split(&mut b, [0, 2, 1, 3]);
        let two = b.scalar(2.0);
        let q = b.node(Op::Binary(Binary::Div), &[q, two]);
        let k = if k_by_rank_3 {
            let k = split(&mut b, [0, 2, 1, 3]);
            let dims = b.node(Op::Shape { start: 0, end: i64::MAX }, &[k]);
            let [zero, two, three, minus] = [0, 2, 3, -1].map(|i| b.integers(&[i]));
            let gather = Op::Gather { axis: 0 };
            let (seq, dim) = (b.node(gather.clone(), &[dims, two]), b.node(gather.clone(), &[dims, three]));
            let flat = b.node(Op::Concat { axis: 0 }, &[minus, seq, dim]);
            let k = b.node(Op::Reshape { allow_zero: false }, &[k, flat]);
            let k = b.node(Op::Transpose { perm: vec![0, 2, 1] }, &[k]);
            let first = b.node(Op::Slice, &[dims, zero, two]);
            let back = b.node(Op::Concat { axis: 0 }, &[first, dim, seq]);
            b.node(Op::Reshape { allow_zero: false }, &[k, back])
        } else {
            split(&mut b, [0, 2, 3, 1])
        };
        let v = split(&mut b, [0, 2, 1, 3]);
        let scores = b.node(Op::MatMul, &[q, k]);
        let scores = masking(&mut b, scores, mask);
        let weights = b.node(Op::Softmax { axis: -1, coerced: false }, &[scores]);
        let y = b.node(Op::MatMul, &[weights, v]);
        let y = b.node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]);
        let joined = b.integers(&[0, -1, 8]);
        let y = b.node(Op::Reshape { allow_zero: false }, &[y, joined]);
        b.output(y)
    }

    /// `[batch, seq]` to `[batch, 1, 1, seq]`.
    fn unsqueezed(b: &mut Builder, mask: ValueId) -> ValueId {
        let axes = b.integers(&[1, 2]);
        b.node(Op::Unsqueeze, &[mask, axes])
    }

    fn added(b: &mut Builder, scores: ValueId, mask: ValueId) -> ValueId {
        let mask = unsqueezed(b, mask);
        let mask = b.node(Op::Cast(DType::F32), &[mask]);
        let (one, low) = (b.scalar(1.0), b.scalar(f32::MIN));
        let mask = b.node(Op::Binary(Binary::Sub), &[one, mask]);
        let mask = b.node(Op::Binary(Binary::Mul), &[mask, low]);
        b.node(Op::Binary(Binary::Add), &[scores, mask])
    }

    fn selected(b: &mut Builder, scores: ValueId, mask: ValueId) -> ValueId {
        let mask = unsqueezed(b, mask);
        let zero = b.constant(Tensor { dtype: DType::I64, shape: vec![], data: vec![0; 8].into() });
        let mask = b.node(Op::Binary(Binary::Equal), &[mask, zero]);
        let shape = b.node(Op::Shape { start: 0, end: i64::MAX }, &[scores]);
        let mask = b.node(Op::Expand, &[mask, shape]);
        let low = b.scalar(f32::NEG_INFINITY);
        b.node(Op::Where, &[mask, low, scores])
    }

    fn unmasked(_: &mut Builder, scores: ValueId, _: ValueId) -> ValueId {
        scores
    }

    /// Not one number for each key, but one for all.
    fn shifted(b: &mut Builder, scores: ValueId, _: ValueId) -> ValueId {
        let number = b.scalar(-3.0);
        b.node(Op::Binary(Binary::Add), &[scores, number])
    }

    #[test]
    fn every_spelling_becomes_one_operator() {
        for masking in [added, selected, unmasked, shifted] {
            for k_by_rank_3 in [false, true] {
                let model = model(masking, k_by_rank_3);
                let ops = optimized(&model);
                assert_eq!(ops.iter().filter(|op| *op == "Attention").count(), 1, "{ops:?}");
                let left = ["MatMul", "Softmax", "Transpose", "Expand", "Div"];
                assert!(!ops.iter().any(|op| left.contains(&op.as_str())), "{ops:?}");
                assert_passes_keep_meaning(&model, &[&[2, 5, 8], &[2, 5]]);
            }
        }
    }

    #[test]
    fn heads_of_half_floats_are_halves() {
        let mut model = model(unmasked, false);
        for tensor in model.constants.values_mut().filter(|t| t.shape == [8, 8]) {
            let (floats, _) = tensor.data.as_chunks();
            let bits = floats.iter().flat_map(|&x| half::f16::from_f32(f32::from_le_bytes(x)).to_le_bytes());
            *tensor = Tensor { dtype: DType::F16, shape: tensor.shape.clone(), data: bits.collect::<Vec<u8>>().into() };
        }
        let ops = optimized(&model);
        assert_eq!(ops.iter().filter(|op| *op == "Half").count(), 4, "{ops:?}");
        let x: Vec<f32> = (0..40).map(crate::testing::noise).collect();
        let mask = ("mask", TensorView { shape: &[1, 5], data: Data::I64(&[1; 5]) });
        let run = |optimize| {
            let mut session = Session::with_options(model.clone(), Options { optimize, ..Options::default() }).unwrap();
            let outputs = session.run(&[("x", TensorView { shape: &[1, 5, 8], data: Data::F32(&x) }), mask]).unwrap();
            outputs.iter().next().and_then(|(_, y)| y.data.as_f32()).unwrap().to_vec()
        };
        for (rounded, y) in run(true).into_iter().zip(run(false)) {
            assert_eq!(half::f16::from_f32(rounded).to_f32(), rounded);
            assert!((rounded - y).abs() < 2e-3 * y.abs().max(1.0), "{rounded} for {y}");
        }
    }

    #[test]
    fn a_mask_under_a_scaling_is_left_alone() {
        let scaled = |b: &mut Builder, scores, mask| {
            let scores = added(b, scores, mask);
            let half = b.scalar(0.5);
            b.node(Op::Binary(Binary::Mul), &[scores, half])
        };
        let model = model(scaled, false);
        assert!(optimized(&model).contains(&"Softmax".to_string()));
        assert_passes_keep_meaning(&model, &[&[2, 5, 8], &[2, 5]]);
    }
}
