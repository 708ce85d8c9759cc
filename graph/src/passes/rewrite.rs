//! What every pass needs: finding patterns backwards from a node, and replacing the node.
//!
//! A rule looks at one node and what it is computed from, and answers with the nodes that take its place. The last of
//! these makes the same value as before, so nothing else changes; nodes that only served the old one are left for
//! [`super::cleanup`]. Positions stay topological, because a replacement uses only what came before it.

use crate::dim::{self, Dim};
use crate::error::Failure;
use crate::infer::{self, Inference};
use crate::ir::{Binary, DType, Model, Node, Op, Reduce, Tensor, ValueId};
use std::ops::{Deref, DerefMut};

/// A model being rewritten, with what inference has found out about it.
///
/// A pass keeps the values that it does not make, so what is known of a value stays true, and only new ones need to be
/// looked at.
pub(super) struct Draft {
    model: Model,
    inference: Inference,
    /// Whether floats keep the bits that the graph gives them, see [`super::is_literal`].
    pub literal: bool,
}

impl Draft {
    pub fn new(model: Model, literal: bool) -> Draft {
        Draft { model, inference: Inference::default(), literal }
    }

    pub fn into_model(self) -> Model {
        self.model
    }

    /// Everything that is known, of new values too. Without [`Draft::put_back`], inference starts afresh.
    pub fn take_inference(&mut self) -> Result<Inference, Failure> {
        infer::extend_symbolic(&self.model, std::mem::take(&mut self.inference))
    }

    pub fn put_back(&mut self, inference: Inference) {
        self.inference = inference;
    }

    pub fn matcher(&mut self) -> Result<Matcher<'_>, Failure> {
        self.inference = self.take_inference()?;
        Ok(Matcher::of(&self.model, &self.inference))
    }
}

impl Deref for Draft {
    type Target = Model;
    fn deref(&self) -> &Model {
        &self.model
    }
}

impl DerefMut for Draft {
    fn deref_mut(&mut self) -> &mut Model {
        &mut self.model
    }
}

/// A model being looked at.
pub(super) struct Matcher<'m> {
    model: &'m Model,
    inference: &'m Inference,
    /// Index of the node that makes a value, by value id.
    producers: Vec<Option<usize>>,
    /// How often a value is read, by value id.
    uses: Vec<usize>,
}

impl<'m> Matcher<'m> {
    /// `inference` is of the model as it is.
    pub fn of(model: &'m Model, inference: &'m Inference) -> Matcher<'m> {
        let count = model.value_count as usize;
        let (mut producers, mut uses) = (vec![None; count], vec![0; count]);
        for (i, node) in model.nodes.iter().enumerate() {
            node.outputs.iter().for_each(|id| producers[id.index()] = Some(i));
            node.inputs.iter().flatten().for_each(|id| uses[id.index()] += 1);
        }
        model.outputs.iter().for_each(|port| uses[port.value.index()] += 1);
        Matcher { model, inference, producers, uses }
    }

    pub fn value_count(&self) -> usize {
        self.uses.len()
    }

    pub fn nodes(&self) -> &'m [Node] {
        &self.model.nodes
    }

    /// The node that makes `value`.
    pub fn producer(&self, value: ValueId) -> Option<&'m Node> {
        Some(&self.model.nodes[self.producers[value.index()]?])
    }

    /// Whether `value` is read in one place only, so that a fused node may swallow it.
    pub fn is_used_once(&self, value: ValueId) -> bool {
        self.uses[value.index()] == 1
    }

    pub fn constant(&self, value: ValueId) -> Option<&'m Tensor> {
        self.model.constants.get(&value)
    }

    /// The value of a constant with a single float.
    pub fn scalar(&self, value: ValueId) -> Option<f32> {
        self.constant(value)?.single_f32()
    }

    /// Whether `value` is a constant with a single float close to `wanted` (exporters round, f16 more so).
    pub fn is_scalar(&self, value: ValueId, wanted: f32) -> bool {
        self.scalar(value).is_some_and(|v| is_close(v, wanted))
    }

    pub fn shape(&self, value: ValueId) -> Option<&[Dim]> {
        self.inference.shape(value)
    }

    /// Whether `value` has a single element.
    pub fn is_single(&self, value: ValueId) -> bool {
        self.shape(value).is_some_and(|shape| shape.iter().all(|d| d.is(1)))
    }

    pub fn dtype(&self, value: ValueId) -> Option<DType> {
        Some(self.inference.get(value)?.dtype)
    }

    /// Elements of a small integer tensor.
    pub fn elements(&self, value: ValueId) -> Option<&[Dim]> {
        self.inference.get(value)?.elements.as_deref()
    }

    /// The operands, if `value` is made by this binary operator.
    pub fn binary(&self, value: ValueId, op: Binary) -> Option<(ValueId, ValueId)> {
        let node = self.producer(value)?;
        (node.op == Op::Binary(op)).then(|| node.operands())?
    }

    /// `(x, c)`, if `value` is `x * c` or `x / (1 / c)` with a single float.
    pub fn scaled(&self, value: ValueId) -> Option<(ValueId, f32)> {
        if let Some((a, b)) = self.binary(value, Binary::Mul) {
            return self.scalar(b).map(|c| (a, c)).or_else(|| self.scalar(a).map(|c| (b, c)));
        }
        let (a, b) = self.binary(value, Binary::Div)?;
        self.scalar(b).map(|c| (a, 1.0 / c))
    }

    /// `(x, c)`, if `value` is `x + c` with a single float.
    pub fn shifted(&self, value: ValueId) -> Option<(ValueId, f32)> {
        let (a, b) = self.binary(value, Binary::Add)?;
        self.scalar(b).map(|c| (a, c)).or_else(|| self.scalar(a).map(|c| (b, c)))
    }

    /// x, if `value` is this reduction of it over the last axis, which is kept.
    pub fn over_last_axis(&self, value: ValueId, wanted: Reduce) -> Option<ValueId> {
        let node = self.producer(value)?;
        let Op::Reduce { op, keep_dims: true, .. } = node.op else { return None };
        let (x, axes) = node.operands().filter(|_| op == wanted)?;
        let (rank, axes) = (self.shape(x)?.len() as i64, self.elements(axes)?);
        (axes.len() == 1 && (axes[0].is(-1) || axes[0].is(rank - 1))).then_some(x)
    }
}

pub(super) fn is_close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 2e-3 * b.abs()
}

impl Node {
    /// A node with one output; absent trailing operands are left out.
    pub(super) fn new(op: Op, inputs: &[ValueId], output: ValueId, name: &str) -> Node {
        Node { op, inputs: inputs.iter().copied().map(Some).collect(), outputs: vec![output], name: name.into() }
    }

    /// The same with another result.
    pub(super) fn giving(&self, output: ValueId) -> Node {
        Node { outputs: vec![output], ..self.clone() }
    }

    /// Operand `i`, if present.
    pub fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }

    /// The first two operands.
    pub(super) fn operands(&self) -> Option<(ValueId, ValueId)> {
        Some((self.input(0)?, self.input(1)?))
    }
}

/// What a rule adds to the model.
pub(super) struct Fresh {
    next: u32,
    constants: Vec<(ValueId, Tensor)>,
    nodes: Vec<Node>,
}

impl Fresh {
    /// To go with what `model` has.
    pub fn after(model: &Model) -> Fresh {
        Fresh { next: model.value_count, constants: Vec::new(), nodes: Vec::new() }
    }

    /// Gives everything to `model`, behind what it has.
    pub fn add_to(self, model: &mut Model) {
        model.nodes.extend(self.nodes);
        model.constants.extend(self.constants);
        model.value_count = self.next;
    }

    pub fn value(&mut self) -> ValueId {
        self.next += 1;
        ValueId::new(self.next - 1)
    }

    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let id = self.value();
        self.constants.push((id, tensor));
        id
    }

    /// Adds a node with a new output.
    pub fn node(&mut self, op: Op, inputs: &[ValueId], name: &str) -> ValueId {
        let output = self.value();
        self.nodes.push(Node::new(op, inputs, output, name));
        output
    }

    /// Adds the node that makes `output`.
    pub fn finish(&mut self, op: Op, inputs: &[ValueId], output: ValueId, name: &str) {
        self.nodes.push(Node::new(op, inputs, output, name));
    }

    /// `x` in another shape, constant or computed from the input's shape.
    pub fn reshape(&mut self, x: ValueId, shape: &[Dim], name: &str) -> ValueId {
        let output = self.value();
        self.finish_reshape(x, shape, output, name);
        output
    }

    /// [`Fresh::reshape`] that makes `output`.
    pub fn finish_reshape(&mut self, x: ValueId, shape: &[Dim], output: ValueId, name: &str) {
        let shape = self.dims(shape, name);
        self.finish(Op::Reshape { allow_zero: true }, &[x, shape], output, name);
    }

    /// `x` with its axes in another order.
    pub fn transpose(&mut self, x: ValueId, perm: &[usize], name: &str) -> ValueId {
        let output = self.value();
        self.finish_transpose(x, perm, output, name);
        output
    }

    /// [`Fresh::transpose`] that makes `output`.
    pub fn finish_transpose(&mut self, x: ValueId, perm: &[usize], output: ValueId, name: &str) {
        self.finish(Op::Transpose { perm: perm.to_vec() }, &[x], output, name);
    }

    /// Adds a node as it is.
    pub fn push(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// A vector with these elements, constant or computed from the input's shape.
    pub fn dims(&mut self, dims: &[Dim], name: &str) -> ValueId {
        match dim::known(dims) {
            Some(known) => self.constant(Tensor::vector_i64(&known)),
            None => self.node(Op::Dims(dims.to_vec()), &[], name),
        }
    }
}

/// Applies a rule to every node. The rule puts into `Fresh` what replaces its node and says `Some(())`, or says `None`
/// and what it put there is dropped. Returns how many nodes were replaced.
pub(super) fn rewrite(
    model: &mut Draft,
    rule: impl Fn(&Matcher, &Node, &mut Fresh) -> Option<()>,
) -> Result<usize, Failure> {
    apply(model, &rule)
}

/// [`rewrite`], once for all rules.
fn apply(model: &mut Draft, rule: &dyn Fn(&Matcher, &Node, &mut Fresh) -> Option<()>) -> Result<usize, Failure> {
    let mut count = 0;
    let mut fresh = Fresh::after(model);
    let matcher = model.matcher()?;
    // Of each node: how many replace it.
    let mut counts = Vec::with_capacity(matcher.nodes().len());
    for node in matcher.nodes() {
        let (nodes, constants) = (fresh.nodes.len(), fresh.constants.len());
        let found = rule(&matcher, node, &mut fresh).is_some();
        if found {
            count += 1;
        } else {
            fresh.nodes.truncate(nodes);
            fresh.constants.truncate(constants);
        }
        counts.push(found.then(|| fresh.nodes.len() - nodes));
    }
    if count == 0 {
        return Ok(0);
    }
    let old = std::mem::take(&mut model.nodes);
    let mut new = std::mem::take(&mut fresh.nodes).into_iter();
    for (i, node) in old.into_iter().enumerate() {
        match counts[i] {
            Some(count) => (0..count).for_each(|_| model.nodes.extend(new.next())),
            None => model.nodes.push(node),
        }
    }
    fresh.add_to(model);
    Ok(count)
}
