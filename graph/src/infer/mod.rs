//! Types and shapes of every value, and the elements of the small integer tensors that shapes are computed with.
//!
//! One function serves twice. At load it runs with symbols for the dimensions that the file leaves open, so that
//! passes can compare shapes; for a concrete input it runs with numbers, so that the plan is checked by the same
//! rules that the passes relied on. A value about which nothing is known (its shape depends on data) has no [`Fact`];
//! that is an error only where the plan needs it.

mod broadcast;
mod elements;
mod operands;
mod shapes;

pub use broadcast::broadcast;
pub(crate) use operands::{leading_pads, reduced_axes, strides_of_slice};

use crate::dim::{self, Dim, Symbol};
use crate::error::{Error, Failure};
use crate::ir::{DType, Model, Port, PortDim, Tensor, ValueId};
use operands::Visit;
use std::cell::RefCell;

/// What is known about a value.
#[derive(Clone, PartialEq, Debug)]
pub struct Fact {
    /// Runtime type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Vec<Dim>,
    /// Elements in row-major order, of integer and bool tensors of at most [`MAX_TRACKED`] elements.
    pub elements: Option<Vec<Dim>>,
}

/// Tensors that describe shapes are small; larger ones are data.
pub const MAX_TRACKED: usize = 64;

/// `(symbol, maximum, node)`: the model makes sense only while the symbol is at most this, because a table of that many
/// rows is sliced to the symbol's length (position embeddings).
pub type Limit = (Symbol, usize, String);

/// The result of inference.
#[derive(Clone, Debug, Default)]
pub struct Inference {
    /// By value id.
    pub facts: Vec<Option<Fact>>,
    /// What the symbols can be at most.
    pub limits: Vec<Limit>,
}

impl Inference {
    /// The fact of a value.
    pub fn get(&self, value: ValueId) -> Option<&Fact> {
        self.facts.get(value.index())?.as_ref()
    }

    /// The shape of a value.
    pub fn shape(&self, value: ValueId) -> Option<&[Dim]> {
        Some(&self.get(value)?.shape)
    }
}

/// The symbols of a model's inputs, by name in order of appearance.
pub fn symbols(model: &Model) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for dim in model.inputs.iter().filter_map(|p| p.dims.as_ref()).flatten() {
        if let PortDim::Symbol(name) = dim
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    names
}

/// Infers with every symbol standing for itself.
pub fn symbolic(model: &Model) -> Result<Inference, Failure> {
    extend_symbolic(model, Inference::default())
}

/// [`symbolic`], of what `known` says nothing of.
pub fn extend_symbolic(model: &Model, known: Inference) -> Result<Inference, Failure> {
    let mut values = Vec::new();
    for symbol in 0..symbols(model).len() {
        values.push(Dim::symbol(symbol as Symbol));
    }
    extend(model, &values, known)
}

/// Infers with `values[s]` for symbol `s`.
pub fn infer(model: &Model, values: &[Dim]) -> Result<Inference, Failure> {
    extend(model, values, Inference::default())
}

/// Infers what `known` says nothing of.
pub fn extend(model: &Model, values: &[Dim], known: Inference) -> Result<Inference, Failure> {
    let Inference { mut facts, limits } = known;
    facts.resize_with(model.value_count as usize, || None);
    let names = symbols(model);
    for port in &model.inputs {
        if let Some(slot @ None) = facts.get_mut(port.value.index()) {
            *slot = port_fact(port, &names, values);
        }
    }
    for (id, tensor) in &model.constants {
        if let Some(slot @ None) = facts.get_mut(id.index()) {
            *slot = Some(constant_fact(tensor));
        }
    }
    let limits = RefCell::new(limits);
    for node in &model.nodes {
        let is_known = |id: &ValueId| facts.get(id.index()).is_some_and(Option::is_some);
        if !node.outputs.is_empty() && node.outputs.iter().all(is_known) {
            continue;
        }
        let outputs = Visit { node, facts: &facts, values, limits: Some(&limits) }.outputs()?;
        for (id, fact) in node.outputs.iter().zip(outputs) {
            if fact.shape.iter().any(|d| d.sign() == Some(-1)) {
                return Err(Error::invalid(&node.name, format!("{} is not a shape", show(&fact.shape))));
            }
            if let Some(slot) = facts.get_mut(id.index()) {
                *slot = Some(fact);
            }
        }
    }
    Ok(Inference { facts, limits: limits.into_inner() })
}

fn port_fact(port: &Port, names: &[String], values: &[Dim]) -> Option<Fact> {
    let mut shape = Vec::new();
    for dim in port.dims.as_ref()? {
        shape.push(match dim {
            PortDim::Fixed(n) => Dim::from(*n),
            PortDim::Symbol(name) => values.get(names.iter().position(|n| n == name)?)?.clone(),
        });
    }
    Some(Fact { dtype: port.dtype.runtime(), shape, elements: None })
}

fn constant_fact(tensor: &Tensor) -> Fact {
    let mut elements = None;
    if tensor.len() <= MAX_TRACKED
        && let Some(integers) = tensor.integers()
    {
        let all = elements.insert(Vec::with_capacity(integers.len()));
        integers.into_iter().for_each(|n| all.push(Dim::Const(n)));
    }
    Fact { dtype: tensor.dtype.runtime(), shape: dim::of_sizes(&tensor.shape), elements }
}

/// `axis` counted from the front.
pub fn normalize_axis(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&a| a < rank)
}

/// A shape as people write it.
pub fn show(shape: &[Dim]) -> String {
    list(shape.len(), &|i| shape[i].to_string())
}

/// [`show`], of sizes. What formats a slice for `Debug` would be a kilobyte in a page.
pub(crate) fn show_sizes(sizes: &[usize]) -> String {
    list(sizes.len(), &|i| sizes[i].to_string())
}

/// So many items in brackets.
pub(crate) fn list(count: usize, item: &dyn Fn(usize) -> String) -> String {
    let mut shown = String::from("[");
    for i in 0..count {
        shown.push_str(if i > 0 { ", " } else { "" });
        shown.push_str(&item(i));
    }
    shown.push(']');
    shown
}
