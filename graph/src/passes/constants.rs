//! Computes what does not depend on the input, with the executor itself.

use super::layout::is_reshape;
use super::rewrite::Draft;
use crate::dim::{checked_mul, known_sizes};
use crate::error::Failure;
use crate::exec::{self, Memory};
use crate::infer::{self, Fact, Inference};
use crate::ir::{DType, Model, Node, Op, Port, Tensor, ValueId};
use crate::plan::{Buffer, MAX_RANK, Plan};
use crate::weights::{Aligned, Halves, Integers, Weights};
use bytes::Bytes;

/// A result with more elements than this, and larger than what it is made of, is left to be computed: a constant that
/// fills a table is cheaper made than kept.
const MAX_ELEMENTS: i64 = 1 << 22;

/// Replaces nodes that read only constants by their results. `keep_quantized`: but for 8-bit weights that are dequantised,
/// which other passes may find a better use for.
///
/// Nodes are computed one at a time, and a constant goes with its last reader, so that a model whose weights are all
/// turned around is never there twice.
pub fn fold(model: &mut Draft, keep_quantized: bool) -> Result<usize, Failure> {
    let inference = model.take_inference()?;
    let mut constant = vec![false; model.value_count as usize];
    model.constants.keys().for_each(|id| constant[id.index()] = true);
    let mut uses = vec![0usize; model.value_count as usize];
    let mut turns = vec![false; model.value_count as usize];
    for node in &model.nodes {
        node.inputs.iter().flatten().for_each(|id| uses[id.index()] += 1);
        // A product reads a weight either way around.
        if let (Op::MatMul, Some(weight)) = (&node.op, node.input(1)) {
            turns[weight.index()] = true;
        }
    }
    model.outputs.iter().for_each(|port| uses[port.value.index()] += 1);
    let bytes = |id: &ValueId| {
        let fact = inference.get(*id)?;
        let elements = fact.shape.iter().try_fold(1, |product, dim| checked_mul(product, dim.known()?))?;
        Some((elements, checked_mul(elements, fact.dtype.size() as i64)?))
    };
    let (mut folds, mut count) = (Vec::with_capacity(model.nodes.len()), 0);
    for node in &model.nodes {
        let weight = node.input(0).and_then(|id| model.constants.get(&id));
        let weight = weight.filter(|t| t.shape.len() > 1 && t.len() > infer::MAX_TRACKED);
        let lasting = match &node.op {
            Op::Dims(_) | Op::AttentionHeads { .. } => true,
            // The codes may be computed in this round.
            Op::DequantizeLinear { .. } | Op::DequantizeBlocks { .. } => {
                let codes = node.input(0).and_then(|id| Some((inference.get(id)?, bytes(&id)?.0)));
                let is_weight = |(fact, len): (&Fact, i64)| fact.shape.len() > 1 && len > infer::MAX_TRACKED as i64;
                keep_quantized && codes.is_some_and(|codes| codes.0.dtype.size() == 1 && is_weight(codes))
            }
            Op::Transpose { .. } => super::linear::turned(node, weight) && turns[node.outputs[0].index()],
            _ => false,
        };
        let known = node.inputs.iter().flatten().all(|id| constant[id.index()]);
        let fold = known && !lasting && {
            let mut operands = 0;
            node.inputs
                .iter()
                .flatten()
                .for_each(|id| operands = operands.max(bytes(id).map_or(0, |(_, bytes)| bytes)));
            let small = |id| bytes(id).is_some_and(|(elements, bytes)| elements <= MAX_ELEMENTS || bytes <= operands);
            node.outputs.iter().all(small)
        };
        if fold {
            count += 1;
            node.outputs.iter().for_each(|id| constant[id.index()] = true);
        }
        folds.push(fold);
    }
    if count == 0 {
        model.put_back(inference);
        return Ok(0);
    }
    // Else what inference knew is dropped: it may conclude more from the elements that are constants now.
    for (i, node) in std::mem::take(&mut model.nodes).into_iter().enumerate() {
        if !folds[i] {
            model.nodes.push(node);
            continue;
        }
        let results = evaluate(&node, model, &inference)?;
        for id in node.inputs.iter().flatten() {
            uses[id.index()] -= 1;
            if uses[id.index()] == 0 {
                model.constants.remove(id);
            }
        }
        for (id, tensor) in node.outputs.into_iter().zip(results) {
            if uses[id.index()] > 0 {
                model.constants.insert(id, tensor);
            }
        }
    }
    Ok(count)
}

/// The results of a node that reads only constants.
fn evaluate(node: &Node, model: &Draft, inference: &Inference) -> Result<Vec<Tensor>, Failure> {
    let constants = &model.constants;
    if let (true, Some(tensor)) = (is_reshape(&node.op), node.input(0).and_then(|id| constants.get(&id))) {
        // The same elements, in whatever type they are stored.
        if let Some(shape) = inference.shape(node.outputs[0]).and_then(known_sizes) {
            return Ok(vec![Tensor { shape, ..tensor.clone() }]);
        }
    }
    // A model of its own, in which the node is alone.
    let mut part = Model::default();
    let mut value = || {
        part.value_count += 1;
        ValueId::new(part.value_count - 1)
    };
    let mut alone = Node { inputs: Vec::new(), outputs: Vec::new(), ..node.clone() };
    let mut moved = None;
    for id in &node.inputs {
        let mut tensor = id.and_then(|id| constants.get(&id)).cloned();
        if let (Op::Transpose { perm }, Some(halves)) = (&mut alone.op, &mut tensor)
            && halves.dtype.size() == 2
            && perm.len() < MAX_RANK
        {
            // Halves stay halves: they are moved as pairs of bytes.
            moved = Some(halves.dtype);
            halves.dtype = DType::U8;
            halves.shape.push(2);
            perm.push(perm.len());
        }
        let local = tensor.as_ref().map(|_| value());
        if let (Some(id), Some(tensor)) = (local, tensor) {
            part.constants.insert(id, tensor);
        }
        alone.inputs.push(local);
    }
    for _ in &node.outputs {
        let value = value();
        alone.outputs.push(value);
        part.outputs.push(Port { name: node.name.clone(), value, dtype: DType::F32, dims: None });
    }
    part.nodes.push(alone);
    let weights = Weights::take(&mut part, Integers::ANYWHERE, Halves::Kept)?;
    let plan = Plan::new(&part, &infer::infer(&part, &[])?, &weights)?;
    let mut arena = Aligned::new(plan.arena)?;
    let memory = Memory::new(arena.bytes_mut(), &weights, &plan, model.literal);
    for step in &plan.steps {
        exec::run(&part.nodes[step.node], step, &memory)?;
    }
    // Results that are most of the arena keep it.
    let arena = Bytes::from_owner(arena);
    let mut results = Vec::with_capacity(plan.outputs.len());
    for view in &plan.outputs {
        let data = match view.buffer {
            Buffer::Arena if view.range().len() > arena.len() / 2 => arena.slice(view.range()),
            Buffer::Arena => Bytes::copy_from_slice(&arena[view.range()]),
            Buffer::Weight(slot) => weights.share(slot),
            Buffer::Plan => Bytes::copy_from_slice(&plan.constants.bytes()[view.range()]),
        };
        let mut tensor = Tensor { dtype: view.dtype, shape: view.shape.to_vec(), data };
        if let Some(dtype) = moved {
            tensor.dtype = dtype;
            tensor.shape.pop();
        }
        results.push(tensor);
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Binary, DType};
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    #[test]
    fn what_reads_only_constants_is_computed_once() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "3"]);
        let weight = b.weight(&[2, 3]);
        let turned = b.node(Op::Transpose { perm: vec![1, 0] }, &[weight]);
        let two = b.scalar(2.0);
        let doubled = b.node(Op::Binary(Binary::Mul), &[turned, two]);
        let y = b.node(Op::MatMul, &[x, doubled]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Linear"]);
        assert_passes_keep_meaning(&model, &[&[4, 3]]);
    }

    #[test]
    fn an_output_may_be_constant() {
        let mut b = Builder::default();
        b.input("x", DType::F32, &["rows", "3"]);
        let (one, two) = (b.scalar(1.0), b.scalar(2.0));
        let y = b.node(Op::Binary(Binary::Add), &[one, two]);
        let model = b.output(y);
        assert_eq!(optimized(&model), [""; 0]);
        assert_passes_keep_meaning(&model, &[&[4, 3]]);
    }
}
