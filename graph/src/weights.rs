//! Constants where they stay: in the element type and order that their operator reads.
//!
//! Weights of matrix products are packed into the panels of the GEMM kernels, once, at load. Each constant's original
//! bytes are let go as soon as they have been taken over, so that a model fed in pieces never exists twice; what an
//! operator reads as it is stays where it is. Half floats stay halves where they are many: in tables, in weights, and as
//! the scales of blocks.

use crate::SortedMap;
use crate::error::{Error, Failure};
use crate::infer::{MAX_TRACKED, show_sizes};
use crate::ir::{DType, Model, Node, Op, Tensor, ValueId};
use crate::session::Options;
use bytes::Bytes;
use fourlane_kernels::gemm_half::Halves as HalfBits;
use fourlane_kernels::gemm_int8::{Accuracy, Int8, Mode, Packing};
use fourlane_kernels::{gemm, gemm_half};

/// Memory for any element type, aligned for vectors.
#[derive(Default)]
pub(crate) struct Aligned {
    blocks: Vec<u128>,
    bytes: usize,
}

impl Aligned {
    /// Zeroed, or an error if there is not so much memory.
    pub fn new(bytes: usize) -> Result<Aligned, Failure> {
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

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// How an operator wants a constant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Format {
    /// Row-major in the runtime type.
    Plain,
    /// Row-major in the storage type, if that is a half float.
    Table,
    /// Float GEMM panels of a `[k, n]` matrix, or of the transpose of a `[n, k]` one; of halves if it is, unless [`Halves::Expanded`].
    Panels { transposed: bool },
    /// Integer GEMM panels of a `[k, n]` matrix; of one that rows are multiplied with which are quantised on the way, if
    /// `by_row`.
    PanelsInt8 { by_row: bool },
}

/// The format in which `node` reads its input `i`.
pub(crate) fn format(node: &Node, i: usize) -> Format {
    match (&node.op, i) {
        (Op::Linear { trans_b, .. }, 1) => Format::Panels { transposed: *trans_b },
        (Op::AttentionAbsorbed { trans_b, .. }, 2 | 3) => Format::Panels { transposed: *trans_b },
        (Op::LinearInt8 { .. }, 3) => Format::PanelsInt8 { by_row: node.input(1).is_none() },
        (Op::Gather { .. }, 0) | (Op::LinearBlocks { .. }, 2 | 3) | (Op::DequantizeBlocks { .. }, 1 | 2) => {
            Format::Table
        }
        _ => Format::Plain,
    }
}

/// All constants of a model.
#[derive(Default)]
pub(crate) struct Weights {
    stored: SortedMap<(ValueId, Format), Stored>,
    /// How often each mode of [`Mode::ALL`] was taken.
    modes: [usize; Mode::ALL.len()],
}

/// A constant where it stays.
struct Stored {
    elements: Elements,
    /// The type of the elements.
    dtype: DType,
}

enum Elements {
    /// Those of the file.
    Shared(Bytes),
    Own(Aligned),
}

impl Elements {
    fn bytes(&self) -> &[u8] {
        match self {
            Elements::Shared(bytes) => bytes,
            Elements::Own(aligned) => aligned.bytes(),
        }
    }
}

/// What becomes of the weights of float products that are f16 or bf16 in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halves {
    /// They stay, and are converted by the panel inside the product.
    Kept,
    /// They are converted once.
    Expanded,
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

    pub fn new(options: &Options) -> Result<Integers, Failure> {
        let accuracy = if options.fast && !options.literal { Accuracy::Fast } else { Accuracy::Exact };
        match options.integer_mode {
            Some(mode) if !mode.is_exact() => {
                Err(Error::WrongMode { wanted: mode.name(), best: Mode::best().name() }.into())
            }
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
    pub fn take(model: &mut Model, integers: Integers, halves: Halves) -> Result<Weights, Failure> {
        let mut weights = Weights::default();
        let Model { nodes, outputs, constants, .. } = model;
        let mut wanted: SortedMap<(ValueId, Format), &str> = SortedMap::new();
        for node in nodes.iter() {
            for (i, id) in node.inputs.iter().enumerate() {
                if let Some(id) = id {
                    wanted.get_or_insert_with((*id, format(node, i)), || &node.name);
                }
            }
        }
        for port in outputs.iter() {
            wanted.get_or_insert_with((port.value, Format::Plain), || &port.name);
        }
        let all = std::mem::take(constants);
        // One after the other in the order of their names, about that of the file: each is packed into what the one
        // before it has left.
        for (id, mut tensor) in all {
            let mut is_read = false;
            for ((_, format), node) in wanted.iter().filter(|((reader, _), _)| *reader == id) {
                is_read = true;
                let stored = match format {
                    Format::Plain => plain(&tensor)?,
                    Format::Table => table(&tensor)?,
                    Format::Panels { transposed } => panels(&tensor, *transposed, halves, node)?,
                    Format::PanelsInt8 { by_row: true } => weights.pack(&tensor, integers, node)?,
                    // Bytes that come from elsewhere take all eight bits.
                    Format::PanelsInt8 { .. } => weights.pack(&tensor, integers.exact(), node)?,
                };
                weights.stored.insert((id, *format), stored);
            }
            if tensor.len() > MAX_TRACKED {
                tensor.data = Bytes::new();
            }
            if is_read {
                constants.insert(id, tensor);
            }
        }
        Ok(weights)
    }

    pub fn slot(&self, id: ValueId, format: Format) -> Option<usize> {
        self.stored.position(&(id, format))
    }

    fn at(&self, slot: usize) -> Option<&Stored> {
        self.stored.iter().as_slice().get(slot).map(|(_, stored)| stored)
    }

    pub fn data(&self, slot: usize) -> &[u8] {
        self.at(slot).map_or(&[], |stored| stored.elements.bytes())
    }

    /// The bytes in a slot, copied only if they are not those of the file.
    pub fn share(&self, slot: usize) -> Bytes {
        match self.at(slot).map(|stored| &stored.elements) {
            Some(Elements::Shared(bytes)) => bytes.clone(),
            _ => Bytes::copy_from_slice(self.data(slot)),
        }
    }

    /// The type of the elements in a slot.
    pub fn dtype(&self, slot: usize) -> Option<DType> {
        self.at(slot).map(|stored| stored.dtype)
    }

    /// Packs a matrix of an integer product.
    fn pack(&mut self, tensor: &Tensor, integers: Integers, node: &str) -> Result<Stored, Failure> {
        let (k, n) = matrix(tensor, node)?;
        let b = int8(tensor.dtype, &tensor.data);
        let packing = integers.packing(k, n, b);
        let mut data = Aligned::new(packing.len())?;
        packing.pack(b, n, 1, data.bytes_mut());
        if let Some(index) = Mode::ALL.iter().position(|mode| *mode == packing.mode()) {
            self.modes[index] += 1;
        }
        Ok(Stored { elements: Elements::Own(data), dtype: tensor.dtype })
    }

    /// `(mode, weights)` of the modes in use.
    pub fn modes(&self) -> Vec<(&'static str, usize)> {
        let mut modes = Vec::new();
        for (mode, &count) in Mode::ALL.iter().zip(&self.modes) {
            if count > 0 {
                modes.push((mode.name(), count));
            }
        }
        modes
    }

    /// Bytes of all constants.
    pub fn len(&self) -> usize {
        let mut bytes = 0;
        self.stored.iter().for_each(|(_, stored)| bytes += stored.elements.bytes().len());
        bytes
    }
}

/// Rows and columns of a weight.
fn matrix(tensor: &Tensor, node: &str) -> Result<(usize, usize), Failure> {
    match tensor.shape.as_slice() {
        &[rows, cols] => Ok((rows, cols)),
        shape => {
            let shape = show_sizes(shape);
            Err(Error::unsupported(node, format!("a weight of shape {shape}, where a matrix is wanted")))
        }
    }
}

/// The elements as they are in the file: not copied, but where they lie askew.
fn as_stored(tensor: &Tensor) -> Result<Stored, Failure> {
    let is_aligned = (tensor.data.as_ptr() as usize).is_multiple_of(tensor.dtype.size());
    let elements = match is_aligned {
        true => Elements::Shared(tensor.data.clone()),
        false => {
            let mut copy = Aligned::new(tensor.data.len())?;
            copy.bytes_mut().copy_from_slice(&tensor.data);
            Elements::Own(copy)
        }
    };
    Ok(Stored { elements, dtype: tensor.dtype })
}

fn plain(tensor: &Tensor) -> Result<Stored, Failure> {
    let dtype = tensor.dtype.runtime();
    if tensor.dtype == dtype {
        return as_stored(tensor);
    }
    let mut data = Aligned::new(tensor.len() * dtype.size())?;
    tensor.floats_into(bytemuck::cast_slice_mut(data.bytes_mut()));
    Ok(Stored { elements: Elements::Own(data), dtype })
}

fn table(tensor: &Tensor) -> Result<Stored, Failure> {
    match tensor.dtype {
        DType::F16 | DType::BF16 => as_stored(tensor),
        _ => plain(tensor),
    }
}

fn panels(tensor: &Tensor, transposed: bool, halves: Halves, node: &str) -> Result<Stored, Failure> {
    let (rows, cols) = matrix(tensor, node)?;
    let (k, n, row_stride, col_stride) = if transposed { (cols, rows, 1, cols) } else { (rows, cols, cols, 1) };
    let keep = matches!(tensor.dtype, DType::F16 | DType::BF16) && halves == Halves::Kept;
    let dtype = if keep { tensor.dtype } else { DType::F32 };
    let mut data = Aligned::new(gemm::packed_len(k, n).saturating_mul(dtype.size()))?;
    if keep {
        let Stored { elements, .. } = as_stored(tensor)?;
        let halves = bytemuck::cast_slice(elements.bytes());
        gemm_half::pack_b(k, n, halves, row_stride, col_stride, bytemuck::cast_slice_mut(data.bytes_mut()));
    } else {
        let Stored { elements, dtype } = plain(tensor)?;
        if dtype != DType::F32 {
            return Err(Error::unsupported(node, format!("a {} weight in a float product", dtype.name())));
        }
        let floats = bytemuck::cast_slice(elements.bytes());
        gemm::pack_b(k, n, floats, row_stride, col_stride, bytemuck::cast_slice_mut(data.bytes_mut()));
    }
    Ok(Stored { elements: Elements::Own(data), dtype })
}

/// Bits as the halves that they are.
pub(crate) fn halves(dtype: DType, bits: &[u16]) -> HalfBits<'_> {
    if dtype == DType::BF16 { HalfBits::Bf16(bits) } else { HalfBits::F16(bits) }
}

/// Bytes as the integers that they are.
pub(crate) fn int8(dtype: DType, bytes: &[u8]) -> Int8<'_> {
    match dtype {
        DType::I8 => Int8::I8(bytemuck::cast_slice(bytes)),
        _ => Int8::U8(bytes),
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::{Binary, DType, Model, Op, Tensor, ValueId};
    use crate::testing::{Builder, assert_passes_keep_meaning, noise, optimized};
    use crate::{Data, Options, Session, TensorView};

    fn halves(b: &mut Builder, dtype: DType, shape: &[usize]) -> ValueId {
        let bits = |i| match dtype {
            DType::F16 => half::f16::from_f32(noise(i)).to_le_bytes(),
            _ => half::bf16::from_f32(noise(i)).to_le_bytes(),
        };
        let data: Vec<u8> = (0..shape.iter().product()).flat_map(bits).collect();
        b.constant(Tensor { dtype, shape: shape.to_vec(), data: data.into() })
    }

    /// A table, and two products, one with a weight that is transposed first.
    fn model(dtype: DType) -> Model {
        let mut b = Builder::default();
        let ids = b.input("ids", DType::I64, &["batch", "seq"]);
        let (table, w, v) =
            (halves(&mut b, dtype, &[20, 8]), halves(&mut b, dtype, &[8, 16]), halves(&mut b, dtype, &[12, 16]));
        let x = b.node(Op::Gather { axis: 0 }, &[table, ids]);
        let x = b.node(Op::MatMul, &[x, w]);
        let v = b.node(Op::Transpose { perm: vec![1, 0] }, &[v]);
        let y = b.node(Op::MatMul, &[x, v]);
        let two = b.scalar(2.0);
        let y = b.node(Op::Binary(Binary::Mul), &[y, two]);
        b.output(y)
    }

    fn run(model: &Model, expand_halves: bool) -> (Vec<f32>, usize) {
        let mut session =
            Session::with_options(model.clone(), Options { expand_halves, ..Options::default() }).unwrap();
        let bytes = session.report().weight_bytes;
        let ids = TensorView { shape: &[2, 3], data: Data::I64(&[3, -1, 0, 19, 7, 7]) };
        let outputs = session.run(&[("ids", ids)]).unwrap();
        (outputs.get("output").unwrap().data.as_f32().unwrap().to_vec(), bytes)
    }

    #[test]
    fn halves_stay_halves_and_give_the_same() {
        for dtype in [DType::F16, DType::BF16] {
            let model = model(dtype);
            assert_eq!(optimized(&model), ["Gather", "Linear", "Linear", "Mul"]);
            assert_passes_keep_meaning(&model, &[&[2, 3]]);
            let ((kept, less), (expanded, more)) = (run(&model, false), run(&model, true));
            assert_eq!(kept, expanded);
            // The last weight has 12 columns, which take the room of 16; the scalar and what describes shapes come on top.
            let [table, weights @ ..] = [20 * 8, 8 * 16, 16 * 16];
            let elements = table + weights.iter().sum::<usize>();
            assert!((2 * elements..2 * elements + 64).contains(&less), "{less}");
            assert_eq!(more - less, 2 * weights.iter().sum::<usize>());
        }
    }
}
