//! What a model's attention masks hide: found out by computing them for a few made-up inputs, since exporters spell masks
//! in more ways than there are patterns for.

use super::cleanup;
use super::rewrite::Matcher;
use crate::error::Failure;
use crate::ir::{DType, Model, Op, Port, PortDim};
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
        let (mut rows, mut unmasked) = (None, false);
        // The model of nothing but the masks.
        let mut part = Model { outputs: Vec::new(), ..model.clone() };
        for node in model.nodes.iter().filter(|node| matches!(node.op, Op::Attention { .. })) {
            rows = rows.or(node.input(0));
            match node.input(3) {
                Some(value) if part.outputs.iter().any(|port| port.value == value) => {}
                Some(value) => part.outputs.push(Port { name: String::new(), value, dtype: DType::F32, dims: None }),
                None => unmasked = true,
            }
        }
        let Some([batch, seq, _]) = rows.and_then(|x| m.shape(x)) else { return Ok(None) };
        let is_grid = |port: &Port| m.shape(port.value).is_some_and(|shape| shape == [batch.clone(), seq.clone()]);
        let Some(grid) = model.inputs.iter().position(is_grid) else { return Ok(None) };
        match (part.outputs.is_empty(), unmasked) {
            (true, _) => return Ok(Some(Padding { mask: None, grid, hides_only: true })),
            (false, true) => return Ok(None),
            (false, false) => cleanup::dead_code(&mut part),
        };
        let mut source = None;
        for (i, input) in part.inputs.iter().enumerate() {
            if part.nodes.iter().any(|node| node.inputs.contains(&Some(input.value))) && source.replace(i).is_some() {
                return Ok(None);
            }
        }
        let Some(source) = source else { return Ok(None) };
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
        let mut lengths = Vec::with_capacity(rows);
        for row in 0..rows {
            lengths.push(columns - if row % 2 == 0 { missing } else { missing / 2 });
        }
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
        for i in 0..heads * length {
            let (head, query) = (i / length, i % length);
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
