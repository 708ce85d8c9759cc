//! Computes what does not depend on the input, with the executor itself.

use crate::error::Error;
use crate::exec::{self, Memory};
use crate::infer;
use crate::ir::{Model, Node, Op, Port, Tensor, ValueId};
use crate::plan::{Buffer, Plan};
use crate::weights::{Aligned, Integers, Weights};
use bytes::Bytes;

/// A result larger than this is left to be computed: a constant that fills a table is cheaper made than kept.
const MAX_ELEMENTS: i64 = 1 << 22;

/// Replaces nodes that read only constants by their results. `keep_quantized`: but for 8-bit weights that are dequantised,
/// which other passes may find a better use for.
pub fn fold(model: &mut Model, keep_quantized: bool) -> Result<usize, Error> {
    let inference = infer::symbolic(model)?;
    let mut constant = vec![false; model.value_count as usize];
    model.constants.keys().for_each(|id| constant[id.0 as usize] = true);
    let is_small = |id: &ValueId| {
        let elements = inference.shape(*id).and_then(|shape| crate::dim::product(shape).known());
        elements.is_some_and(|n| n <= MAX_ELEMENTS)
    };
    let mut folded: Vec<Node> = Vec::new();
    for node in &model.nodes {
        let quantized = || {
            let weight = node.input(0).and_then(|id| model.constants.get(&id));
            weight.is_some_and(|t| t.dtype.size() == 1 && t.shape.len() > 1 && t.len() > infer::MAX_TRACKED)
        };
        let lasting = match node.op {
            Op::Dims(_) | Op::AttentionHeads { .. } => true,
            Op::DequantizeLinear { .. } => keep_quantized && quantized(),
            _ => false,
        };
        let known = node.inputs.iter().flatten().all(|id| constant[id.0 as usize]);
        if known && !lasting && node.outputs.iter().all(is_small) {
            node.outputs.iter().for_each(|id| constant[id.0 as usize] = true);
            folded.push(node.clone());
        }
    }
    if folded.is_empty() {
        return Ok(0);
    }
    let is_folded = |id: &ValueId| folded.iter().any(|node| node.outputs.contains(id));
    // Only what others read must be kept.
    let read = model.nodes.iter().filter(|n| !n.outputs.iter().all(|id| constant[id.0 as usize]));
    let mut wanted: Vec<ValueId> = read.flat_map(|n| n.inputs.iter().flatten().copied()).collect();
    wanted.extend(model.outputs.iter().map(|p| p.value));
    wanted.retain(is_folded);
    wanted.sort_unstable();
    wanted.dedup();
    let results = evaluate(model, folded.clone(), &wanted)?;
    model.nodes.retain(|node| !node.outputs.iter().all(|id| constant[id.0 as usize]));
    model.constants.extend(wanted.into_iter().zip(results));
    Ok(folded.len())
}

fn evaluate(model: &Model, nodes: Vec<Node>, wanted: &[ValueId]) -> Result<Vec<Tensor>, Error> {
    let outputs = wanted.iter().map(|&value| {
        let name = nodes.iter().find(|n| n.outputs.contains(&value)).map_or("", |n| &n.name).to_string();
        Port { name, value, dtype: crate::ir::DType::F32, dims: None }
    });
    let read = |id: &ValueId| nodes.iter().any(|n| n.inputs.contains(&Some(*id)));
    let constants = model.constants.iter().filter(|(id, _)| read(id)).map(|(id, t)| (*id, t.clone()));
    let mut part = Model {
        outputs: outputs.collect(),
        constants: constants.collect(),
        value_count: model.value_count,
        nodes,
        ..Model::default()
    };
    let weights = Weights::take(&mut part, Integers::ANYWHERE)?;
    let plan = Plan::new(&part, &infer::infer(&part, &[])?, &weights)?;
    let mut arena = Aligned::new(plan.arena)?;
    let memory = Memory::new(arena.bytes_mut(), &weights, &plan);
    for step in &plan.steps {
        exec::run(&part.nodes[step.node], step, &memory)?;
    }
    let tensor = |view: &crate::plan::View| {
        let data = match view.buffer {
            Buffer::Arena => &arena.bytes()[view.range()],
            Buffer::Weight(slot) => weights.data(slot),
            Buffer::Plan => &plan.constants.bytes()[view.range()],
        };
        Tensor { dtype: view.dtype, shape: view.shape.to_vec(), data: Bytes::copy_from_slice(data) }
    };
    Ok(plan.outputs.iter().map(tensor).collect())
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
