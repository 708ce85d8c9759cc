//! What a model's attention masks hide: found out by computing them for a few made-up inputs, since exporters spell masks
//! in more ways than there are patterns for.

use super::rewrite::Matcher;
use crate::error::Failure;
use crate::ir::{DType, Model, Node, Op, Port, PortDim, ValueId};
use crate::tensor::{Data, Elements, TensorView};
use crate::weights::Aligned;
use crate::{Options, Session};

/// How strongly a hidden key must be hidden: onnxruntime's operators add -10000, everyone else more.
const HIDDEN: f32 = -9000.0;

/// How a model says what padding is.
pub(super) struct Padding {
    /// The input that every attention takes it from; `None` if there is no mask at all.
    pub mask: Option<usize>,
    /// An input of the shape `[batch, seq]`.
    pub grid: usize,
    /// Whether masks are zero where they do not hide.
    pub hides_only: bool,
}

impl Padding {
    /// `None` if attention hides other things than padding.
    pub fn of(model: &Model, m: &Matcher) -> Result<Option<Padding>, Failure> {
        let attentions: Vec<&Node> = model.nodes.iter().filter(|n| matches!(n.op, Op::Attention { .. })).collect();
        let Some([batch, seq, _]) = attentions.first().and_then(|n| m.shape(n.input(0)?)) else { return Ok(None) };
        let is_grid = |port: &Port| m.shape(port.value).is_some_and(|shape| shape == [batch.clone(), seq.clone()]);
        let Some(grid) = model.inputs.iter().position(is_grid) else { return Ok(None) };
        let unmasked = attentions.iter().filter(|n| n.input(3).is_none()).count();
        if unmasked == attentions.len() {
            return Ok(Some(Padding { mask: None, grid, hides_only: true }));
        }
        if unmasked > 0 {
            return Ok(None);
        }
        let mut masks: Vec<ValueId> = Vec::new();
        for id in attentions.iter().filter_map(|n| n.input(3)) {
            if !masks.contains(&id) {
                masks.push(id);
            }
        }
        // What the masks are made of.
        let mut wanted = vec![false; model.value_count as usize];
        masks.iter().for_each(|id| wanted[id.index()] = true);
        let mut nodes: Vec<Node> = Vec::new();
        for node in model.nodes.iter().rev() {
            if node.outputs.iter().any(|id| wanted[id.index()]) {
                node.inputs.iter().flatten().for_each(|id| wanted[id.index()] = true);
                nodes.push(node.clone());
            }
        }
        nodes.reverse();
        let mut sources = (0..model.inputs.len()).filter(|&i| wanted[model.inputs[i].value.index()]);
        let (Some(source), None) = (sources.next(), sources.next()) else { return Ok(None) };
        let outputs = masks.iter().map(|&value| Port { name: String::new(), value, dtype: DType::F32, dims: None });
        let constants = model.constants.iter().filter(|(id, _)| wanted[id.index()]).map(|(id, t)| (*id, t.clone()));
        let part = Model {
            inputs: model.inputs.clone(),
            outputs: outputs.collect(),
            nodes,
            constants: constants.collect(),
            value_count: model.value_count,
        };
        let visible = largest_visible(part, source, grid);
        Ok(visible.map(|largest| Padding { mask: Some(source), grid, hides_only: largest == 0.0 }))
    }
}

/// The largest magnitude that outputs have for keys at which input `source` is 1, if they are under [`HIDDEN`] for those
/// at which it is 0, and far above for the others. All inputs have the shape of input `grid`, or it is not found out.
fn largest_visible(part: Model, source: usize, grid: usize) -> Option<f32> {
    let size = |axis: usize, free: usize| match part.inputs[grid].dims.as_deref().map(|dims| &dims[axis]) {
        Some(PortDim::Fixed(n)) => *n,
        _ => free,
    };
    // Exporters have been seen to give the batch of the mask a name of its own.
    let shape @ [rows, columns] = [size(0, 3), size(1, 5)];
    let mut session = Session::with_options(part, Options { optimize: false, ..Options::default() }).ok()?;
    let mut largest = 0f32;
    // Full rows, then shorter ones, of at least one token each.
    for missing in [0, columns / 2, columns - 1] {
        let length = |row: usize| columns - if row.is_multiple_of(2) { missing } else { missing / 2 };
        let lengths: Vec<usize> = (0..rows).map(length).collect();
        let mut memory = Vec::with_capacity(session.inputs().len());
        for (i, port) in session.inputs().iter().enumerate() {
            let dtype = port.dtype.runtime();
            if matches!(dtype, DType::U8 | DType::I8) {
                return None;
            }
            let mut data = Aligned::new(rows * columns * dtype.size()).ok()?;
            let mut elements = Elements::new(dtype, data.bytes_mut());
            for (row, &length) in lengths.iter().enumerate().filter(|_| i == source) {
                (0..length).for_each(|column| elements.set_number(row * columns + column, 1));
            }
            memory.push((port.name.clone(), dtype, data));
        }
        let mut inputs = Vec::with_capacity(memory.len());
        for (name, dtype, data) in &memory {
            inputs.push((name.as_str(), TensorView { shape: &shape, data: Data::new(*dtype, data.bytes()) }));
        }
        for (_, mask) in session.run(&inputs).ok()?.iter() {
            largest = largest.max(visible(mask.shape, mask.data.as_f32()?, &lengths, columns)?);
        }
    }
    (largest < -HIDDEN / 10.0).then_some(largest)
}

/// The largest magnitude of a mask, which broadcasts to `[texts, heads, columns, columns]`, within the texts; `None` if it
/// shows them anything else.
fn visible(shape: &[usize], mask: &[f32], lengths: &[usize], columns: usize) -> Option<f32> {
    let mut padded = [1; 4];
    padded.get_mut(4usize.checked_sub(shape.len())?..)?.copy_from_slice(shape);
    let [texts, heads, queries, keys] = padded;
    let fits = [(texts, lengths.len()), (queries, columns), (keys, columns)];
    if fits.iter().any(|&(size, whole)| size != 1 && size != whole) {
        return None;
    }
    let mut largest = 0f32;
    for (text, &length) in lengths.iter().enumerate() {
        for (head, query) in (0..heads).flat_map(|head| (0..length).map(move |query| (head, query))) {
            let row = ((text.min(texts - 1) * heads + head) * queries + query.min(queries - 1)) * keys;
            for key in 0..columns {
                let value = mask[row + key.min(keys - 1)];
                match key < length {
                    true => largest = if value.is_finite() { largest.max(value.abs()) } else { f32::INFINITY },
                    false if value <= HIDDEN => {}
                    false => return None,
                }
            }
        }
    }
    Some(largest)
}
