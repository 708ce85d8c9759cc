//! The names of a file: what makes each value, and in which order nodes can run.
//!
//! A graph in a file is held together by names. Here it is checked that each is made once and that no node waits for
//! itself; from then on a name that something reads has a maker that comes before.

use crate::error::LoadError;
use crate::proto::{GraphProto, NodeProto};
use fourlane_graph::SortedMap;
use fourlane_graph::ir::ValueId;

/// Where a value comes from; indices into the lists of the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Maker {
    Initializer(usize),
    Input,
    Node(usize),
}

pub(crate) struct Name {
    pub maker: Maker,
    /// Whether a node or a model output reads it.
    pub is_read: bool,
    /// What the file claims. Optimisers leave stale shapes behind, so it is asked last, and for the rank only.
    pub rank: Option<usize>,
    /// The value, once it is converted.
    pub value: Option<ValueId>,
}

pub(crate) struct Names {
    by_name: SortedMap<String, Name>,
    /// All nodes, each after those that it reads from, otherwise as in the file.
    pub order: Vec<usize>,
}

impl Names {
    pub fn of(graph: &GraphProto) -> Result<Names, LoadError> {
        let mut made: Vec<(&str, Maker)> = Vec::new();
        for (index, tensor) in graph.initializer.iter().enumerate() {
            made.push((&tensor.name, Maker::Initializer(index)));
        }
        for port in &graph.input {
            made.push((&port.name, Maker::Input));
        }
        for (index, node) in graph.node.iter().enumerate() {
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                made.push((output, Maker::Node(index)));
            }
        }
        made.sort_unstable();
        let mut names = Names { by_name: SortedMap::new(), order: Vec::new() };
        for &(name, maker) in &made {
            match (names.by_name.get(name).map(|first| first.maker), maker) {
                (None, maker) => {
                    names.by_name.insert(name.into(), Name { maker, is_read: false, rank: None, value: None });
                }
                // An initializer may be listed as an input too: its default, which nobody overrides here.
                (Some(Maker::Initializer(_)), Maker::Input) => {}
                _ => return Err(LoadError::DuplicateValue(name.into())),
            }
        }
        for info in &graph.value_info {
            if let (Some(name), Some(tensor)) = (names.by_name.get_mut(info.name.as_str()), info.tensor()) {
                name.rank = tensor.shape.as_ref().map(|shape| shape.dim.len());
            }
        }
        names.sort(&graph.node)?;
        for output in &graph.output {
            names.read(&output.name, &|| "the list of model outputs".into())?;
        }
        Ok(names)
    }

    pub fn get(&self, name: &str) -> Option<&Name> {
        self.by_name.get(name)
    }

    pub fn set_value(&mut self, name: &str, value: ValueId) {
        if let Some(name) = self.by_name.get_mut(name) {
            name.value = Some(value);
        }
    }

    fn read(&mut self, name: &str, reader: &dyn Fn() -> String) -> Result<(), LoadError> {
        match self.by_name.get_mut(name) {
            Some(name) => {
                name.is_read = true;
                Ok(())
            }
            None => Err(LoadError::MissingValue { reader: reader(), value: name.into() }),
        }
    }

    fn sort(&mut self, nodes: &[NodeProto]) -> Result<(), LoadError> {
        for node in nodes {
            for input in node.input.iter().filter(|name| !name.is_empty()) {
                self.read(input, &|| format!("node '{}' ({})", node.label(), node.op_type))?;
            }
        }
        let mut visits = vec![Visit::None; nodes.len()];
        // The next one last. Those that have begun are what the others on top of them are wanted for.
        let mut rest = Vec::new();
        for first in 0..nodes.len() {
            rest.push(first);
            while let Some(&index) = rest.last() {
                if visits[index] == Visit::None {
                    visits[index] = Visit::Begun;
                    for input in nodes[index].input.iter().rev() {
                        let Some(&Name { maker: Maker::Node(maker), .. }) = self.by_name.get(input.as_str()) else {
                            continue;
                        };
                        match visits[maker] {
                            Visit::None => rest.push(maker),
                            Visit::Begun => return Err(LoadError::Cycle(nodes[maker].label().into())),
                            Visit::Done => {}
                        }
                    }
                } else {
                    if visits[index] == Visit::Begun {
                        visits[index] = Visit::Done;
                        self.order.push(index);
                    }
                    rest.pop();
                }
            }
        }
        Ok(())
    }
}

/// How far the sorting has come with a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    None,
    /// What it reads has been looked at.
    Begun,
    /// It has its place.
    Done,
}
