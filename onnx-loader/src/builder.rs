//! The model in the making, and what is known of its values.
//!
//! Converters emit IR nodes here. Each value gets its element type and, where it can be had cheaply, its rank: enough
//! for the few conversions that depend on them (`CastLike`, masks, `Transpose` without a permutation). Real shape
//! inference, with symbols, is the graph crate's.

use crate::error::Reject;
use crate::external::{ExternalData, ExternalFiles};
use crate::proto::{TensorProto, data_type};
use crate::tensor;
use fourlane_graph::SortedMap;
use fourlane_graph::ir::{Binary, DType, Model, Node, Op, Tensor, Unary, ValueId};

/// What is known of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Fact {
    /// Type while running, not of storage.
    pub dtype: Option<DType>,
    pub rank: Option<usize>,
}

/// Whether integers of this type have 16 bits.
fn is_wide(code: i32) -> bool {
    matches!(code, data_type::INT16 | data_type::UINT16)
}

pub(crate) struct Builder<'a> {
    pub model: Model,
    /// Name of the node being converted: what is emitted gets it.
    pub node: String,
    facts: Vec<Fact>,
    /// Constants that are of 16-bit integers in the file, which are i64 here or, matrices, bytes, or that are of 4-bit ones,
    /// two in a byte, with their type.
    narrow: SortedMap<ValueId, i32>,
    files: ExternalFiles<'a>,
}

impl<'a> Builder<'a> {
    pub fn new(external: &'a dyn ExternalData) -> Self {
        Self {
            model: Model::default(),
            node: String::new(),
            facts: Vec::new(),
            narrow: SortedMap::new(),
            files: ExternalFiles::new(external),
        }
    }

    pub fn value(&mut self, fact: Fact) -> ValueId {
        self.facts.push(fact);
        self.model.value_count += 1;
        ValueId::new(self.model.value_count - 1)
    }

    pub fn fact(&self, value: ValueId) -> Fact {
        self.facts.get(value.index()).copied().unwrap_or_default()
    }

    pub fn set_rank(&mut self, value: ValueId, rank: usize) {
        if let Some(fact) = self.facts.get_mut(value.index()) {
            fact.rank = Some(rank);
        }
    }

    // Constants

    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let value = self.value(Fact { dtype: Some(tensor.dtype.runtime()), rank: Some(tensor.shape.len()) });
        self.model.constants.insert(value, tensor);
        value
    }

    pub fn decode(&mut self, tensor: &mut TensorProto) -> Result<Tensor, Reject> {
        tensor::decode(tensor, &mut self.files)
    }

    pub fn constant_of(&mut self, proto: &mut TensorProto) -> Result<ValueId, Reject> {
        let tensor = self.decode(proto)?;
        let value = self.constant(tensor);
        let is_narrow = match proto.data_type {
            code if is_wide(code) => true,
            code => tensor::packed_width(code, &proto.dims).is_some(),
        };
        if is_narrow {
            self.narrow.insert(value, proto.data_type);
        }
        Ok(value)
    }

    /// The type in the file of a constant of 16-bit integers, or of 4-bit ones that are two in a byte.
    pub fn narrow(&self, value: ValueId) -> Option<i32> {
        self.narrow.get(&value).copied()
    }

    /// The type and the sizes of a constant matrix of integers of 4 or 16 bits, of which the tensor has the bytes.
    pub fn packed(&self, value: ValueId) -> Option<(i32, [usize; 2])> {
        let code = self.narrow(value)?;
        let &Tensor { dtype: DType::U8, shape: ref bytes, .. } = self.tensor(value)? else { return None };
        let [rows, width] = bytes[..] else { return None };
        Some((code, [rows, if is_wide(code) { width / 2 } else { 2 * width }]))
    }

    /// The same value, or if that is bytes of integers of 4 or 16 bits, one of these.
    pub fn unpacked(&mut self, value: ValueId) -> ValueId {
        let (Some((code, shape)), Some(tensor)) = (self.packed(value), self.tensor(value)) else { return value };
        let (signed, data) = (matches!(code, data_type::INT4 | data_type::INT16), &tensor.data);
        let (dtype, data) = match (is_wide(code), signed) {
            (true, _) => (DType::I64, tensor::widen(data, 2, signed)),
            (false, true) => (DType::I8, tensor::unpack(data, 2 * data.len(), signed)),
            (false, false) => (DType::U8, tensor::unpack(data, 2 * data.len(), signed)),
        };
        self.constant(Tensor { dtype, shape: shape.to_vec(), data })
    }

    pub fn scalar(&mut self, value: f32) -> ValueId {
        self.constant(Tensor::scalar_f32(value))
    }

    pub fn int(&mut self, value: i64) -> ValueId {
        self.constant(Tensor { shape: Vec::new(), ..Tensor::vector_i64(&[value]) })
    }

    pub fn ints(&mut self, values: &[i64]) -> ValueId {
        self.constant(Tensor::vector_i64(values))
    }

    pub fn tensor(&self, value: ValueId) -> Option<&Tensor> {
        self.model.constants.get(&value)
    }

    // Nodes

    /// Emits an operator with one output.
    pub fn emit(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let mut all = Vec::with_capacity(inputs.len());
        inputs.iter().for_each(|&input| all.push(Some(input)));
        self.emit_optional(op, &all)
    }

    /// Emits an operator with one output, of whose inputs some may be absent. Absent ones at the end are dropped.
    pub fn emit_optional(&mut self, op: Op, mut inputs: &[Option<ValueId>]) -> ValueId {
        while let Some((None, before)) = inputs.split_last() {
            inputs = before;
        }
        let output = self.value(self.infer(&op, inputs));
        self.push(op, inputs, vec![output]);
        output
    }

    /// Emits an operator with outputs that the caller describes.
    pub fn emit_outputs(&mut self, op: Op, inputs: &[Option<ValueId>], facts: &[Fact]) -> Vec<ValueId> {
        let mut outputs = Vec::with_capacity(facts.len());
        facts.iter().for_each(|&fact| outputs.push(self.value(fact)));
        self.push(op, inputs, outputs.clone());
        outputs
    }

    /// Emits a split of `x` into so many parts, of these sizes or of equal ones.
    pub fn split(&mut self, axis: i64, x: ValueId, sizes: Option<ValueId>, parts: usize) -> Vec<ValueId> {
        let facts = vec![self.fact(x); parts];
        let inputs = [Some(x), sizes];
        self.emit_outputs(Op::Split { axis }, &inputs[..if sizes.is_some() { 2 } else { 1 }], &facts)
    }

    fn push(&mut self, op: Op, inputs: &[Option<ValueId>], outputs: Vec<ValueId>) {
        self.model.nodes.push(Node { op, inputs: inputs.to_vec(), outputs, name: self.node.clone() });
    }

    pub fn unary(&mut self, op: Unary, x: ValueId) -> ValueId {
        self.emit(Op::Unary(op), &[x])
    }

    pub fn binary(&mut self, op: Binary, a: ValueId, b: ValueId) -> ValueId {
        self.emit(Op::Binary(op), &[a, b])
    }

    pub fn reshape(&mut self, x: ValueId, shape: ValueId) -> ValueId {
        self.emit(Op::Reshape { allow_zero: false }, &[x, shape])
    }

    pub fn unsqueeze(&mut self, x: ValueId, axes: &[i64]) -> ValueId {
        let axes = self.ints(axes);
        self.emit(Op::Unsqueeze, &[x, axes])
    }

    /// `x` itself if it is of this type already.
    pub fn cast(&mut self, x: ValueId, dtype: DType) -> ValueId {
        if self.fact(x).dtype == Some(dtype) { x } else { self.emit(Op::Cast(dtype), &[x]) }
    }

    /// What a one-output operator makes of its inputs.
    fn infer(&self, op: &Op, inputs: &[Option<ValueId>]) -> Fact {
        let input = |i: usize| inputs.get(i).copied().flatten();
        let fact = |i: usize| input(i).map(|v| self.fact(v)).unwrap_or_default();
        // Elements of a constant list of axes or dimensions.
        let len = |i: usize| match self.tensor(input(i)?)?.shape[..] {
            [len] => Some(len),
            _ => None,
        };
        let broadcast = |i: usize, j: usize| Some(fact(i).rank?.max(fact(j).rank?));
        let x = fact(0);
        let (dtype, rank) = match op {
            Op::Unary(Unary::IsNan) => (Some(DType::Bool), x.rank),
            Op::Binary(op) => (if op.gives_bool() { Some(DType::Bool) } else { x.dtype }, broadcast(0, 1)),
            Op::Where => (fact(1).dtype.or(fact(2).dtype), broadcast(0, 1).zip(fact(2).rank).map(|(a, b)| a.max(b))),
            Op::If => (fact(1).dtype.or(fact(2).dtype), fact(1).rank.filter(|rank| fact(2).rank == Some(*rank))),
            Op::Cast(dtype) => (Some(*dtype), x.rank),
            Op::Reduce { keep_dims: false, .. } => (x.dtype, x.rank.zip(len(1)).and_then(|(r, n)| r.checked_sub(n))),
            Op::MatMul => {
                (Some(DType::F32), broadcast(0, 1).filter(|_| fact(0).rank > Some(1) && fact(1).rank > Some(1)))
            }
            Op::MatMulInteger => (Some(DType::I32), broadcast(0, 1)),
            Op::Gemm { .. } => (Some(DType::F32), Some(2)),
            Op::Flatten { .. } => (x.dtype, Some(2)),
            Op::Reshape { .. } => (x.dtype, len(1)),
            Op::Unsqueeze => (x.dtype, x.rank.zip(len(1)).map(|(r, n)| r + n)),
            Op::Squeeze => (x.dtype, x.rank.zip(len(1)).and_then(|(r, n)| r.checked_sub(n))),
            Op::Expand => (x.dtype, x.rank.zip(len(1)).map(|(r, n)| r.max(n))),
            Op::Gather { .. } => (x.dtype, x.rank.zip(fact(1).rank).and_then(|(r, n)| (r + n).checked_sub(1))),
            Op::GatherElements { .. } => (x.dtype, fact(1).rank),
            Op::GatherNd { .. } => (x.dtype, None),
            Op::Shape { .. } => (Some(DType::I64), Some(1)),
            Op::Range => (x.dtype, Some(1)),
            Op::QuantizeLinear { .. } => (fact(2).dtype.or(Some(DType::U8)), x.rank),
            Op::DequantizeLinear { .. } | Op::DequantizeBlocks { .. } => (Some(DType::F32), x.rank),
            // The rest keeps type and rank.
            _ => (x.dtype, x.rank),
        };
        Fact { dtype, rank }
    }
}
