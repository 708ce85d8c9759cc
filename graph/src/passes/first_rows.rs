//! Only rows that are read: where a stacked model takes the first token of each text, the operators before it need to
//! work on these tokens alone. In the last layer that leaves keys and values, which attention needs of all tokens (but see
//! `absorbed.rs`); the query, the projection behind attention and the whole feed-forward network run on one row for each
//! text.

use super::rewrite::Fresh;
use crate::ir::{Model, Node, Op, ValueId};

/// Moves `Gather(x, firsts)` towards the inputs, past operators whose other rows nobody reads. `tokens` are the values
/// that have a row for each token.
pub fn run(model: &mut Model, tokens: &[ValueId], firsts: ValueId) {
    let count = model.value_count as usize;
    let mut has_rows = vec![false; count];
    tokens.iter().for_each(|id| has_rows[id.index()] = true);
    // Of each value: is every reader content with the first rows?
    let mut suffices = vec![true; count];
    model.outputs.iter().for_each(|port| suffices[port.value.index()] = false);
    let is_first = |node: &Node| node.op == Op::Gather { axis: 1 } && node.input(1) == Some(firsts);
    // Scales and zero points have no axis before the one of tokens.
    let mut is_vector = vec![false; count];
    for node in model.nodes.iter().filter(|node| node.op == Op::QuantizeRows) {
        node.outputs.iter().skip(1).for_each(|id| is_vector[id.index()] = true);
    }
    let mut moved = vec![false; model.nodes.len()];
    for (i, node) in model.nodes.iter().enumerate().rev() {
        if is_first(node) {
            continue;
        }
        let is_row_wise = !matches!(node.op, Op::Gather { axis: 1 } | Op::Expand);
        moved[i] = is_row_wise && node.outputs.iter().all(|id| has_rows[id.index()] && suffices[id.index()]);
        for (j, id) in node.inputs.iter().enumerate() {
            if let Some(id) = id
                && !(moved[i] && is_selected(&node.op, j))
            {
                suffices[id.index()] = false;
            }
        }
    }
    let mut fresh = Fresh::after(model);
    // By value id: its first rows, and what is to be read instead of it.
    let (mut selected, mut renamed) = (vec![None; count], vec![None; count]);
    for (i, mut node) in std::mem::take(&mut model.nodes).into_iter().enumerate() {
        for id in node.inputs.iter_mut().flatten() {
            *id = renamed[id.index()].unwrap_or(*id);
        }
        if is_first(&node)
            && let Some(rows) = node.input(0).and_then(|x| *selected.get(x.index())?)
        {
            // Nothing is left to gather.
            node.outputs.iter().for_each(|output| renamed[output.index()] = Some(rows));
            continue;
        }
        if moved[i] {
            for j in 0..node.inputs.len() {
                if let Some(id) = node.inputs[j].filter(|id| has_rows[id.index()] && is_selected(&node.op, j)) {
                    let rows = &mut selected[id.index()];
                    if rows.is_none() {
                        let axis = i64::from(!is_vector[id.index()]);
                        *rows = Some(fresh.node(Op::Gather { axis }, &[id, firsts], &node.name));
                    }
                    node.inputs[j] = *rows;
                }
            }
            for id in &mut node.outputs {
                let value = fresh.value();
                selected[id.index()] = Some(value);
                *id = value;
            }
        }
        fresh.push(node);
    }
    fresh.add_to(model);
}

/// Whether operand `i` may be of some rows only when the result is.
fn is_selected(op: &Op, i: usize) -> bool {
    !matches!(op, Op::AttentionStacked { .. }) || i == 0
}
