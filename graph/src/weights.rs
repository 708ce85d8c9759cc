//! Constants where they stay: in the element type and order that their operator reads.
//!
//! Weights of matrix products are packed into the panels of the GEMM kernels, once, at load. Each constant's original
//! bytes are let go as soon as they have been taken over, so that a model fed in pieces never exists twice.

use crate::error::Error;
use crate::infer::MAX_TRACKED;
use crate::ir::{DType, Model, Node, Op, Tensor, ValueId};
use crate::session::Options;
use bytes::Bytes;
use fourlane_kernels::gemm;
use fourlane_kernels::gemm_int8::{Accuracy, Int8, Mode, Packing};
use std::collections::HashMap;

/// Memory for any element type, aligned for vectors.
#[derive(Default)]
pub(crate) struct Aligned {
    blocks: Vec<u128>,
    bytes: usize,
}

impl Aligned {
    /// Zeroed, or an error if there is not so much memory.
    pub fn new(bytes: usize) -> Result<Aligned, Error> {
        let (mut blocks, count) = (Vec::new(), bytes.div_ceil(16));
        blocks.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { bytes: bytes as u64 })?;
        blocks.resize(count, 0);
        Ok(Aligned { blocks, bytes })
    }

    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.bytes]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.bytes]
    }
}

/// How an operator wants a constant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Format {
    /// Row-major in the runtime type.
    Plain,
    /// f32 GEMM panels of a `[k, n]` matrix, or of the transpose of a `[n, k]` one.
    Panels { transposed: bool },
    /// Integer GEMM panels of a `[k, n]` matrix; of one that rows are multiplied with which are quantised on the way, if
    /// `by_row`.
    PanelsInt8 { by_row: bool },
}

/// The format in which `node` reads its input `i`.
pub(crate) fn format(node: &Node, i: usize) -> Format {
    match (&node.op, i) {
        (Op::Linear { trans_b, .. }, 1) => Format::Panels { transposed: *trans_b },
        (Op::LinearInt8 { .. }, 3) => Format::PanelsInt8 { by_row: node.input(1).is_none() },
        _ => Format::Plain,
    }
}

/// All constants of a model.
#[derive(Default)]
pub(crate) struct Weights {
    slots: HashMap<(ValueId, Format), usize>,
    data: Vec<Aligned>,
    /// How often each mode of [`Mode::ALL`] was taken.
    modes: [usize; Mode::ALL.len()],
}

/// How weights of integer products are packed.
#[derive(Clone, Copy)]
pub(crate) struct Integers {
    mode: Mode,
    /// Whether all weights are packed for this mode, faster or not.
    is_forced: bool,
    accuracy: Accuracy,
}

impl Integers {
    /// What every engine has.
    pub const ANYWHERE: Integers = Integers { mode: Mode::I16, is_forced: true, accuracy: Accuracy::Exact };

    pub fn new(options: &Options) -> Result<Integers, Error> {
        let accuracy = if options.fast && !options.literal { Accuracy::Fast } else { Accuracy::Exact };
        match options.integer_mode {
            Some(mode) if !mode.is_exact() => Err(Error::WrongMode { wanted: mode.name(), best: Mode::best().name() }),
            Some(mode) => Ok(Integers { mode, is_forced: true, accuracy }),
            None => Ok(Integers { mode: Mode::best(), is_forced: false, accuracy }),
        }
    }

    fn exact(self) -> Integers {
        Integers { accuracy: Accuracy::Exact, ..self }
    }

    /// The packing of a matrix `[k, n]`.
    fn packing(&self, k: usize, n: usize, b: Int8) -> Packing {
        let new = if self.is_forced { Packing::new } else { Packing::fastest };
        new(self.mode, self.accuracy, k, n, b, n, 1)
    }
}

impl Weights {
    /// Takes the constants that `model` reads; what remains in the model are shapes, and the elements of tensors
    /// small enough to describe shapes.
    pub fn take(model: &mut Model, integers: Integers) -> Result<Weights, Error> {
        let mut weights = Weights::default();
        let mut wanted: HashMap<ValueId, Vec<(Format, String)>> = HashMap::new();
        let mut want = |id: ValueId, format: Format, name: &str| {
            let formats = wanted.entry(id).or_default();
            if !formats.iter().any(|(f, _)| *f == format) {
                formats.push((format, name.to_string()));
            }
        };
        for node in &model.nodes {
            for (i, id) in node.inputs.iter().enumerate() {
                if let Some(id) = id {
                    want(*id, format(node, i), &node.name);
                }
            }
        }
        for port in &model.outputs {
            want(port.value, Format::Plain, &port.name);
        }
        model.constants.retain(|id, _| wanted.contains_key(id));
        for (id, tensor) in &mut model.constants {
            for (format, node) in &wanted[id] {
                weights.slots.insert((*id, *format), weights.data.len());
                let data = match format {
                    Format::PanelsInt8 { by_row: true } => weights.pack(tensor, integers, node)?,
                    // Bytes that come from elsewhere take all eight bits.
                    Format::PanelsInt8 { .. } => weights.pack(tensor, integers.exact(), node)?,
                    format => store(tensor, *format, node)?,
                };
                weights.data.push(data);
            }
            if tensor.len() > MAX_TRACKED {
                tensor.data = Bytes::new();
            }
        }
        Ok(weights)
    }

    pub fn slot(&self, id: ValueId, format: Format) -> Option<usize> {
        self.slots.get(&(id, format)).copied()
    }

    pub fn data(&self, slot: usize) -> &[u8] {
        self.data.get(slot).map_or(&[], |d| d.bytes())
    }

    /// Packs a matrix of an integer product.
    fn pack(&mut self, tensor: &Tensor, integers: Integers, node: &str) -> Result<Aligned, Error> {
        let (k, n) = matrix(tensor, node)?;
        let b = int8(tensor.dtype, &tensor.data);
        let packing = integers.packing(k, n, b);
        let mut data = Aligned::new(packing.len())?;
        packing.pack(b, n, 1, data.bytes_mut());
        if let Some(index) = Mode::ALL.iter().position(|mode| *mode == packing.mode()) {
            self.modes[index] += 1;
        }
        Ok(data)
    }

    /// `(mode, weights)` of the modes in use.
    pub fn modes(&self) -> Vec<(&'static str, usize)> {
        let counts = Mode::ALL.iter().zip(self.modes);
        counts.filter(|(_, count)| *count > 0).map(|(mode, count)| (mode.name(), count)).collect()
    }

    /// Bytes of all constants.
    pub fn len(&self) -> usize {
        self.data.iter().map(|d| d.bytes).sum()
    }
}

/// Rows and columns of a weight.
fn matrix(tensor: &Tensor, node: &str) -> Result<(usize, usize), Error> {
    match tensor.shape.as_slice() {
        &[rows, cols] => Ok((rows, cols)),
        _ => Err(Error::unsupported(node, format!("a weight of shape {:?}, where a matrix is wanted", tensor.shape))),
    }
}

fn store(tensor: &Tensor, format: Format, node: &str) -> Result<Aligned, Error> {
    match format {
        Format::Plain | Format::PanelsInt8 { .. } => {
            let mut data = Aligned::new(tensor.len() * tensor.dtype.runtime().size())?;
            if tensor.dtype == tensor.dtype.runtime() {
                data.bytes_mut().copy_from_slice(&tensor.data);
            } else if let Some(floats) = tensor.floats() {
                data.bytes_mut().copy_from_slice(bytemuck::cast_slice(&floats));
            }
            Ok(data)
        }
        Format::Panels { transposed } => {
            let (rows, cols) = matrix(tensor, node)?;
            let (k, n, row_stride, col_stride) = if transposed { (cols, rows, 1, cols) } else { (rows, cols, cols, 1) };
            let Some(b) = tensor.floats() else {
                return Err(Error::unsupported(node, format!("a {} weight in a float product", tensor.dtype.name())));
            };
            let mut data = Aligned::new(gemm::packed_len(k, n) * 4)?;
            gemm::pack_b(k, n, &b, row_stride, col_stride, bytemuck::cast_slice_mut(data.bytes_mut()));
            Ok(data)
        }
    }
}

/// Bytes as the integers that they are.
pub(crate) fn int8(dtype: DType, bytes: &[u8]) -> Int8<'_> {
    match dtype {
        DType::I8 => Int8::I8(bytemuck::cast_slice(bytes)),
        _ => Int8::U8(bytes),
    }
}
