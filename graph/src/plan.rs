//! The plan for one concrete input shape: which steps run, and where in the arena each value lives.
//!
//! Made once for a shape and kept. Whatever depends on shapes alone is settled here: shape arithmetic does not run,
//! reshapes are other views of the same bytes, and element-wise steps whose operand dies write over it. What is left
//! gets its place by lifetime: two values share bytes only if one is dead before the other is born. Larger values
//! choose first, each the lowest offset that is free for its whole life.
//!
//! A plan is data and names no kernel: steps, views, and scratch sizes.

use crate::dim::{self, checked_mul};
use crate::error::{Error, Failure};
use crate::exec;
use crate::infer::{self, Inference};
use crate::ir::{DType, Model, Node, Op, Port, Tensor, Unary, ValueId};
use crate::weights::{self, Aligned, Format, Weights};
use std::ops::Range;

/// More axes than any transformer has.
pub const MAX_RANK: usize = 8;

/// A concrete shape, without allocation.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    rank: u8,
    sizes: [usize; MAX_RANK],
}

impl Sizes {
    /// `None` if there are more than [`MAX_RANK`] axes.
    pub fn new(sizes: &[usize]) -> Option<Sizes> {
        let mut all = [0; MAX_RANK];
        all.get_mut(..sizes.len())?.copy_from_slice(sizes);
        Some(Sizes { rank: sizes.len() as u8, sizes: all })
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.iter().product()
    }
}

impl std::ops::Deref for Sizes {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.sizes[..self.rank as usize]
    }
}

impl std::fmt::Debug for Sizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self[..].fmt(f)
    }
}

/// Which memory a view is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Buffer {
    /// Intermediate values, inputs and outputs.
    Arena,
    /// A constant of the model, as its operator wants it.
    Weight(usize),
    /// Numbers that follow from the shape.
    Plan,
}

/// Elements in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// Where.
    pub buffer: Buffer,
    /// First byte. While a plan is made, of the arena: the index of the block.
    pub offset: usize,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Sizes,
}

impl View {
    /// The bytes.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.shape.count() * self.dtype.size()
    }
}

/// One operator on concrete views.
#[derive(Debug)]
pub struct Step {
    /// Index in the model's nodes.
    pub node: usize,
    /// Operands. Those that the plan has settled (axes, shapes) are `None`, like absent ones.
    pub inputs: Box<[Option<View>]>,
    /// Results.
    pub outputs: Box<[View]>,
    /// Working memory: bytes.
    pub scratch: View,
    /// What the settled operands came to: see [`settled_numbers`].
    pub numbers: Box<[i64]>,
}

impl Step {
    /// Operand `i`, if it is there.
    pub fn input(&self, i: usize) -> Option<&View> {
        self.inputs.get(i)?.as_ref()
    }
}

/// See the module.
pub struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) inputs: Vec<View>,
    pub(crate) outputs: Vec<View>,
    pub(crate) constants: Aligned,
    /// Bytes.
    pub(crate) arena: usize,
}

/// Bytes between values: a cache line.
const ALIGN: usize = 64;

/// Where a value comes from.
#[derive(Clone, Copy)]
enum Place {
    /// Bytes of its own: index into `Planner::blocks`.
    Block(usize),
    Constant(ValueId),
    Numbers(usize),
}

/// Bytes of the arena during a part of the run.
struct Block {
    bytes: usize,
    born: usize,
    dies: usize,
    offset: usize,
}

struct Planner<'a> {
    model: &'a Model,
    inference: &'a Inference,
    weights: &'a Weights,
    /// By value id.
    places: Vec<Option<Place>>,
    blocks: Vec<Block>,
    numbers: Vec<u8>,
    /// Last step that reads each value, by value id.
    last_use: Vec<usize>,
}

/// Step number of values that live on after the run.
const AFTER: usize = usize::MAX;

impl Plan {
    /// `inference` is of the concrete shape.
    pub(crate) fn new(model: &Model, inference: &Inference, weights: &Weights) -> Result<Plan, Failure> {
        let count = model.value_count as usize;
        let mut planner = Planner {
            model,
            inference,
            weights,
            places: vec![None; count],
            blocks: Vec::new(),
            numbers: Vec::new(),
            last_use: vec![0; count],
        };
        let order = planner.settle()?;
        // Step i runs at time i + 1; inputs are written at time 0.
        for port in &model.inputs {
            let block =
                planner.block(planner.view_bytes(port.value, &port.name)?, 0, planner.last_use[port.value.index()]);
            planner.places[port.value.index()] = Some(Place::Block(block));
        }
        let mut steps = Vec::with_capacity(order.len());
        for (time, n) in (1..).zip(order) {
            steps.extend(planner.step(n, time)?);
        }
        let arena = planner.assign();
        for step in &mut steps {
            step.inputs.iter_mut().flatten().for_each(|view| planner.locate(view));
            step.outputs.iter_mut().for_each(|view| planner.locate(view));
            planner.locate(&mut step.scratch);
        }
        let (inputs, outputs) = (planner.ports(&model.inputs)?, planner.ports(&model.outputs)?);
        let mut constants = Aligned::new(planner.numbers.len())?;
        constants.bytes_mut()[..planner.numbers.len()].copy_from_slice(&planner.numbers);
        Ok(Plan { steps, inputs, outputs, constants, arena: usize::try_from(arena).unwrap_or(usize::MAX) })
    }
}

/// Whether input `i` only describes shapes, so that inference has used it up.
fn is_settled(op: &Op, i: usize) -> bool {
    match op {
        Op::Shape { .. } => true,
        Op::Reshape { .. }
        | Op::Unsqueeze
        | Op::Squeeze
        | Op::Expand
        | Op::Tile
        | Op::Reduce { .. }
        | Op::Split { .. }
        | Op::TopK { .. } => i == 1,
        Op::Slice => i >= 1,
        Op::Pad => i == 1 || i == 3,
        _ => false,
    }
}

/// The operands that describe shapes, resolved: for `Slice` the lowest element and the stride of each axis,
/// for `Pad` the leading pad of each axis, for `Reduce` the axes.
fn settled_numbers(node: &Node, inference: &Inference) -> Result<Box<[i64]>, Failure> {
    let numbers = match &node.op {
        Op::Slice => infer::strides_of_slice(node, inference)?,
        Op::Pad => infer::leading_pads(node, inference)?,
        Op::Reduce { .. } => infer::reduced_axes(node, inference)?,
        _ => Some(Vec::new()),
    };
    let depends = || Error::unsupported(&node.name, "the shape of a result depends on the values of the input");
    Ok(numbers.ok_or_else(depends)?.into())
}

impl<'a> Planner<'a> {
    /// Finds what must run, in order, and when each value is read last.
    fn settle(&mut self) -> Result<Vec<usize>, Failure> {
        for id in self.model.constants.keys() {
            self.places[id.index()] = Some(Place::Constant(*id));
        }
        let mut needed = vec![false; self.places.len()];
        for port in &self.model.outputs {
            needed[port.value.index()] = true;
            self.last_use[port.value.index()] = AFTER;
        }
        let mut order = Vec::new();
        for (n, node) in self.model.nodes.iter().enumerate().rev() {
            let mut runs = false;
            for id in &node.outputs {
                if needed[id.index()] && !self.is_numbers(*id)? {
                    runs = true;
                }
            }
            if runs {
                order.push(n);
                for (i, id) in node.inputs.iter().enumerate() {
                    if let Some(id) = id
                        && !is_settled(&node.op, i)
                    {
                        needed[id.index()] = true;
                    }
                }
            }
        }
        order.reverse();
        for (time, &n) in (1..).zip(&order) {
            let node = &self.model.nodes[n];
            for (i, id) in node.inputs.iter().enumerate() {
                if let Some(id) = id
                    && !is_settled(&node.op, i)
                {
                    let last = &mut self.last_use[id.index()];
                    *last = (*last).max(time);
                }
            }
        }
        Ok(order)
    }

    /// Whether inference knows the elements; they are written down then.
    fn is_numbers(&mut self, id: ValueId) -> Result<bool, Failure> {
        if self.places[id.index()].is_some() {
            return Ok(true);
        }
        let Some(fact) = self.inference.get(id) else { return Ok(false) };
        let Some(elements) = fact.elements.as_deref().and_then(dim::known) else {
            return Ok(false);
        };
        let offset = self.numbers.len().next_multiple_of(8);
        self.numbers.resize(offset, 0);
        self.numbers.extend_from_slice(&Tensor::of_integers(fact.dtype, Vec::new(), &elements).data);
        self.places[id.index()] = Some(Place::Numbers(offset));
        Ok(true)
    }

    fn sizes(&self, id: ValueId, name: &str) -> Result<(DType, Sizes), Failure> {
        let depends = || Error::unsupported(name, "the shape of a result depends on the values of the input");
        let fact = self.inference.get(id).ok_or_else(depends)?;
        let sizes = dim::known_sizes(&fact.shape).ok_or_else(depends)?;
        let total =
            sizes.iter().try_fold(fact.dtype.size(), |p, &d| p.checked_mul(d)).filter(|&b| b <= isize::MAX as usize);
        match (Sizes::new(&sizes), total) {
            (Some(sizes), Some(_)) => Ok((fact.dtype, sizes)),
            (None, _) => Err(Error::unsupported(name, format!("a tensor of rank {}, over {MAX_RANK}", sizes.len()))),
            // The sizes are those of a caller's texts: what to say to that is that there is no such memory.
            (_, None) => {
                let multiply = |p: i64, &d: &usize| checked_mul(p, i64::try_from(d).ok()?);
                let bytes = sizes.iter().try_fold(fact.dtype.size() as i64, multiply).map_or(u64::MAX, |b| b as u64);
                Err(Error::OutOfMemory { bytes }.into())
            }
        }
    }

    fn view_bytes(&self, id: ValueId, name: &str) -> Result<usize, Failure> {
        let (dtype, sizes) = self.sizes(id, name)?;
        Ok(sizes.count() * dtype.size())
    }

    fn block(&mut self, bytes: usize, born: usize, dies: usize) -> usize {
        self.blocks.push(Block { bytes, born, dies: dies.max(born), offset: 0 });
        self.blocks.len() - 1
    }

    fn place_outputs(&mut self, node: &Node, time: usize) -> Result<(), Failure> {
        for (i, id) in node.outputs.iter().enumerate() {
            let index = id.index();
            if self.places[index].is_some() {
                continue;
            }
            let source = node.inputs.first().copied().flatten();
            let shared = match source {
                Some(source) if i == 0 => self.shared_place(node, source, *id, time)?,
                _ => None,
            };
            if let Some(Place::Block(block)) = shared {
                let block = &mut self.blocks[block];
                block.dies = block.dies.max(self.last_use[index]);
            }
            self.places[index] = Some(match shared {
                Some(place) => place,
                None => {
                    let bytes = self.view_bytes(*id, &node.name)?;
                    Place::Block(self.block(bytes, time, self.last_use[index]))
                }
            });
        }
        Ok(())
    }

    /// The place of `source`, if `node` can show or write its output there.
    fn shared_place(
        &self,
        node: &Node,
        source: ValueId,
        output: ValueId,
        time: usize,
    ) -> Result<Option<Place>, Failure> {
        let Some(place) = self.places[source.index()] else { return Ok(None) };
        let (from, to) = (self.sizes(source, &node.name)?, self.sizes(output, &node.name)?);
        if is_same_bytes(&node.op, from, to) {
            return Ok(Some(place));
        }
        Ok(match place {
            Place::Block(block) if writes_in_place(&node.op, from.0, to.0) => {
                // Other views of the same bytes count: the block dies when the last of them does.
                (self.blocks[block].dies <= time && self.blocks[block].born < time).then_some(place)
            }
            _ => None,
        })
    }

    /// Gives every block its offset and returns the size of the arena.
    fn assign(&mut self) -> u64 {
        let blocks = &mut self.blocks;
        let mut by_size: Vec<usize> = Vec::with_capacity(blocks.len());
        for (b, block) in blocks.iter().enumerate() {
            insert(&mut by_size, b, &|other| blocks[other].bytes >= block.bytes);
        }
        // By offset.
        let mut placed: Vec<usize> = Vec::with_capacity(blocks.len());
        let mut arena = 0u64;
        for b in by_size {
            let Block { bytes, born, dies, .. } = blocks[b];
            let mut offset = 0usize;
            for other in placed.iter().map(|&p| &blocks[p]) {
                if other.born <= dies && born <= other.dies && other.bytes > 0 {
                    if other.offset >= offset.saturating_add(bytes) {
                        break;
                    }
                    offset =
                        offset.max(other.offset.saturating_add(other.bytes).saturating_add(ALIGN - 1) / ALIGN * ALIGN);
                }
            }
            arena = arena.max(offset as u64 + bytes as u64);
            blocks[b].offset = offset;
            insert(&mut placed, b, &|other| blocks[other].offset <= offset);
        }
        arena
    }

    fn view(&self, id: ValueId, format: Format, name: &str) -> Result<View, Failure> {
        let (mut dtype, shape) = self.sizes(id, name)?;
        let missing = || Error::invalid(name, "an operand is never computed");
        let (buffer, offset) = match self.places[id.index()].ok_or_else(missing)? {
            Place::Block(block) => (Buffer::Arena, block),
            Place::Constant(id) => {
                let slot = |format| self.weights.slot(id, format);
                // What gave a table another shape has read it as it is.
                let plain = || slot(Format::Plain).filter(|_| format == Format::Table);
                let slot = slot(format).or_else(plain).ok_or_else(missing)?;
                dtype = self.weights.dtype(slot).unwrap_or(dtype);
                (Buffer::Weight(slot), 0)
            }
            Place::Numbers(offset) => (Buffer::Plan, offset),
        };
        Ok(View { buffer, offset, dtype, shape })
    }

    fn ports(&self, ports: &[Port]) -> Result<Vec<View>, Failure> {
        let mut views = Vec::with_capacity(ports.len());
        for port in ports {
            let mut view = self.view(port.value, Format::Plain, &port.name)?;
            self.locate(&mut view);
            views.push(view);
        }
        Ok(views)
    }

    /// Gives a view of the arena its offset, when blocks have theirs.
    fn locate(&self, view: &mut View) {
        if view.buffer == Buffer::Arena {
            view.offset = self.blocks[view.offset].offset;
        }
    }

    /// What node `n` does at a time; `None` if nothing is left to do.
    fn step(&mut self, n: usize, time: usize) -> Result<Option<Step>, Failure> {
        let node = &self.model.nodes[n];
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for (i, id) in node.inputs.iter().enumerate() {
            inputs.push(match id {
                Some(id) if !is_settled(&node.op, i) => Some(self.view(*id, weights::format(node, i), &node.name)?),
                _ => None,
            });
        }
        self.place_outputs(node, time)?;
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for id in &node.outputs {
            outputs.push(self.view(*id, Format::Plain, &node.name)?);
        }
        if let (Some(Some(x)), [y]) = (inputs.first(), outputs.as_slice())
            && (x.buffer, x.offset) == (y.buffer, y.offset)
            && is_same_bytes(&node.op, (x.dtype, x.shape), (y.dtype, y.shape))
        {
            return Ok(None);
        }
        let numbers = settled_numbers(node, self.inference)?;
        let mut scratch = View { buffer: Buffer::Arena, offset: 0, dtype: DType::U8, shape: Sizes::default() };
        let mut step = Step { node: n, numbers, inputs: inputs.into(), outputs: outputs.into(), scratch };
        let bytes = exec::scratch_bytes(node, &step);
        scratch.shape = Sizes::new(&[bytes]).unwrap_or_default();
        scratch.offset = self.block(bytes, time, time);
        step.scratch = scratch;
        exec::check(node, &step)?;
        Ok(Some(step))
    }
}

/// Puts a block behind those that go first.
fn insert(sorted: &mut Vec<usize>, block: usize, goes_first: &dyn Fn(usize) -> bool) {
    sorted.insert(sorted.partition_point(|&other| goes_first(other)), block);
}

/// Whether the output is the first operand's bytes, read differently.
fn is_same_bytes(op: &Op, from: (DType, Sizes), to: (DType, Sizes)) -> bool {
    match op {
        Op::Reshape { .. } | Op::Unsqueeze | Op::Squeeze | Op::Flatten { .. } => true,
        Op::Cast(_) => from.0 == to.0,
        Op::Expand | Op::Tile => from.1.count() == to.1.count(),
        // Moving axes of size 1 moves nothing.
        Op::Transpose { perm } => {
            let mut last = 0;
            perm.iter().all(|&axis| from.1[axis] == 1 || std::mem::replace(&mut last, axis) <= axis)
        }
        _ => false,
    }
}

/// Whether the kernel of `op` works on its first operand's bytes.
fn writes_in_place(op: &Op, from: DType, to: DType) -> bool {
    match op {
        Op::Unary(Unary::IsNan) => false,
        Op::Unary(_) => from == DType::F32 && to == DType::F32,
        Op::Softmax { .. } | Op::LayerNorm { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
impl Plan {
    /// Every step's results and scratch are apart from each other and from its operands, but for in-place ones.
    pub(crate) fn assert_disjoint(&self, model: &Model) {
        for step in &self.steps {
            let op = &model.nodes[step.node].op;
            let written: Vec<Range<usize>> =
                step.outputs.iter().chain([&step.scratch]).map(View::range).filter(|r| !r.is_empty()).collect();
            for (i, a) in written.iter().enumerate() {
                assert!(a.end <= self.arena, "{op:?} writes past the arena");
                for b in &written[..i] {
                    assert!(a.end <= b.start || b.end <= a.start, "{op:?}: results overlap");
                }
                for (j, x) in step.inputs.iter().enumerate() {
                    let Some(x) = x.filter(|x| x.buffer == Buffer::Arena) else { continue };
                    let (x, same) = (x.range(), j == 0 && x.offset == step.outputs[0].offset);
                    let in_place = same && writes_in_place(op, DType::F32, DType::F32);
                    assert!(in_place || a.end <= x.start || x.end <= a.start, "{op:?} overwrites operand {j}");
                }
            }
        }
    }
}
