//! Dead code, common subexpressions, and operators that do nothing.

use super::rewrite::{Draft, Matcher};
use crate::error::Failure;
use crate::infer::MAX_TRACKED;
use crate::ir::{Model, Node, Op, Tensor, ValueId};

/// Removes nodes whose results nobody reads, and constants likewise.
pub fn dead_code(model: &mut Model) -> usize {
    let mut needed = vec![false; model.value_count as usize];
    model.outputs.iter().for_each(|port| needed[port.value.index()] = true);
    for node in model.nodes.iter().rev() {
        if node.outputs.iter().any(|id| needed[id.index()]) {
            node.inputs.iter().flatten().for_each(|id| needed[id.index()] = true);
        }
    }
    let before = model.nodes.len();
    model.nodes.retain(|node| node.outputs.iter().any(|id| needed[id.index()]));
    model.constants.retain(|id, _| needed[id.index()]);
    before - model.nodes.len()
}

/// Makes equal computations one: exporters write the same mask for every layer.
pub fn common_subexpressions(model: &mut Model) -> usize {
    let mut same = Renaming::new(model);
    // Equal small constants first, so that the nodes that read them become equal.
    let mut different: Vec<(ValueId, &Tensor)> = Vec::new();
    for (id, tensor) in model.constants.iter().filter(|(_, tensor)| tensor.len() <= MAX_TRACKED) {
        match different.iter().find(|(_, other)| *other == tensor) {
            Some((twin, _)) => same.rename(*id, *twin),
            None => different.push((*id, tensor)),
        }
    }
    let mut count = 0;
    // By first operand; the first list is of nodes that have none.
    let mut known: Vec<Vec<usize>> = vec![Vec::new(); model.value_count as usize + 1];
    for i in 0..model.nodes.len() {
        same.apply(&mut model.nodes[i]);
        let node = &model.nodes[i];
        let alike = &mut known[node.input(0).map_or(0, |id| id.index() + 1)];
        let is_twin = |other: &&usize| {
            let other = &model.nodes[**other];
            other.inputs == node.inputs && other.op == node.op && other.outputs.len() == node.outputs.len()
        };
        match alike.iter().find(is_twin) {
            Some(&twin) => {
                for (id, first) in node.outputs.iter().zip(&model.nodes[twin].outputs) {
                    same.rename(*id, *first);
                }
                count += 1;
            }
            None => alike.push(i),
        }
    }
    same.finish(model);
    count
}

/// Removes reshapes to the same shape, casts to the same type, expansions that expand nothing, and the like.
pub fn identities(model: &mut Draft) -> Result<usize, Failure> {
    let mut same = Renaming::new(model);
    let mut count = 0;
    let matcher = model.matcher()?;
    let mut renamed = Vec::new();
    for node in matcher.nodes() {
        if let (Some(x), [y]) = (node.input(0), node.outputs.as_slice()) {
            let same = if is_identity(&matcher, node, x, *y) { Some(x) } else { taken(&matcher, node) };
            renamed.extend(same.map(|x| (*y, x)));
        }
    }
    for (from, to) in renamed {
        same.rename(from, to);
        count += 1;
    }
    for node in &mut model.nodes {
        same.apply(node);
    }
    same.finish(model);
    Ok(count)
}

/// The branch of an `If` whose condition is known.
fn taken(m: &Matcher, node: &Node) -> Option<ValueId> {
    let condition = m.elements(node.input(0).filter(|_| node.op == Op::If)?)?.first()?.known()?;
    node.input(if condition != 0 { 1 } else { 2 })
}

fn is_identity(m: &Matcher, node: &Node, x: ValueId, y: ValueId) -> bool {
    let (Some(from), Some(to)) = (m.shape(x), m.shape(y)) else { return false };
    match &node.op {
        Op::Reshape { .. } | Op::Unsqueeze | Op::Squeeze | Op::Flatten { .. } | Op::Expand | Op::Tile => from == to,
        Op::Cast(_) => m.dtype(x) == m.dtype(y),
        Op::Transpose { perm } => perm.is_sorted(),
        // Equal lengths on every axis: everything is taken, and in order unless a step is negative.
        Op::Slice => {
            let forward = node
                .input(4)
                .is_none_or(|steps| m.elements(steps).is_some_and(|s| s.iter().all(|d| d.sign() == Some(1))));
            from == to && forward
        }
        Op::Concat { .. } => node.inputs.len() == 1,
        _ => false,
    }
}

/// Values that are to be read as others.
struct Renaming(Vec<Option<ValueId>>);

impl Renaming {
    fn new(model: &Model) -> Renaming {
        Renaming(vec![None; model.value_count as usize])
    }

    fn get(&self, id: ValueId) -> ValueId {
        self.0[id.index()].unwrap_or(id)
    }

    fn rename(&mut self, from: ValueId, to: ValueId) {
        self.0[from.index()] = Some(self.get(to));
    }

    fn apply(&self, node: &mut Node) {
        for id in node.inputs.iter_mut().flatten() {
            *id = self.get(*id);
        }
    }

    fn finish(&self, model: &mut Model) {
        for port in &mut model.outputs {
            port.value = self.get(port.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::{Binary, DType, Op, Unary};
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    #[test]
    fn equal_computations_are_done_once_and_unread_ones_never() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "3"]);
        let (one, same) = (b.scalar(1.0), b.scalar(1.0));
        let (left, right) = (b.node(Op::Binary(Binary::Add), &[x, one]), b.node(Op::Binary(Binary::Add), &[x, same]));
        b.node(Op::Unary(Unary::Exp), &[left]);
        let y = b.node(Op::Binary(Binary::Mul), &[left, right]);
        let y = b.node(Op::Cast(DType::F32), &[y]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Add", "Mul"]);
        assert_passes_keep_meaning(&model, &[&[4, 3]]);
    }
}
