//! `If` nodes without graphs of their own: both branches become part of the graph, and the node reads what either makes.
//!
//! Exporters write `If` where a tensor's shape decides, which is known long before anything runs; a pass drops the branch
//! that is not taken. Branches have no effects, so that computing both is no mistake where it is not known.

use crate::proto::{GraphProto, NodeProto};

const BRANCHES: [&str; 2] = ["then_branch", "else_branch"];

/// Moves the nodes and initializers of all branches, under names of their own, to `graph`. Their outputs become inputs of
/// the `If`, after its condition.
pub(crate) fn inline(graph: &mut GraphProto) {
    // The next one last; branches may have branches.
    let mut rest = Vec::new();
    put_before(&mut graph.node, &mut rest);
    while let Some(mut node) = rest.pop() {
        if node.op_type == "If" {
            for name in BRANCHES {
                let Some(index) = node.attribute.iter().position(|a| a.name == name && a.g.is_some()) else { continue };
                let Some(mut branch) = node.attribute.swap_remove(index).g else { continue };
                let branch = &mut *branch;
                // Names of outputs are unique in a file.
                let mut prefix = node.output.first().cloned().unwrap_or_default();
                [":", name, ":"].iter().for_each(|part| prefix.push_str(part));
                let own = names_of(branch);
                rename(branch, &own, &prefix);
                branch.output.iter_mut().for_each(|port| node.input.push(std::mem::take(&mut port.name)));
                put_before(&mut branch.node, &mut rest);
                graph.initializer.append(&mut branch.initializer);
            }
        }
        graph.node.push(node);
    }
}

/// Moves `nodes` before the `rest`, of which the next one is last.
fn put_before(nodes: &mut Vec<NodeProto>, rest: &mut Vec<NodeProto>) {
    while let Some(node) = nodes.pop() {
        rest.push(node);
    }
}

/// The names that a graph gives, sorted.
fn names_of(graph: &GraphProto) -> Vec<String> {
    let mut names = Vec::new();
    let mut note = |name: &String| {
        if !name.is_empty() {
            names.push(name.clone());
        }
    };
    graph.initializer.iter().for_each(|tensor| note(&tensor.name));
    graph.node.iter().for_each(|node| node.output.iter().for_each(&mut note));
    names.sort_unstable();
    names
}

/// Puts `prefix` before `names` wherever they are read or made, in branches too.
fn rename(graph: &mut GraphProto, names: &[String], prefix: &str) {
    let rename_one = |name: &mut String| {
        if names.binary_search(name).is_ok() {
            name.insert_str(0, prefix);
        }
    };
    graph.initializer.iter_mut().for_each(|tensor| rename_one(&mut tensor.name));
    graph.output.iter_mut().for_each(|port| rename_one(&mut port.name));
    for node in &mut graph.node {
        node.input.iter_mut().for_each(rename_one);
        node.output.iter_mut().for_each(rename_one);
        for branch in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()) {
            rename(branch, names, prefix);
        }
    }
}
