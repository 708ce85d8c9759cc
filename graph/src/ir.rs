//! The model as data: values, nodes, constants.
//!
//! A [`Model`] is a list of nodes in topological order over numbered values. It is what a loader builds, what every
//! pass in [`crate::passes`] rewrites and what [`crate::Session`] plans and runs. Nothing here knows ONNX: operators
//! are an enum with typed attributes, and contrib operators are expressed by the loader in these.
//!
//! Where two forms of an operator exist (axes as attribute or as input), the IR has one: **shape-like operands are
//! always inputs**, usually constants. So passes look in one place.

use crate::SortedMap;
use crate::dim::Dim;
use bytes::Bytes;
use std::num::NonZeroU32;

/// Element type of a tensor.
///
/// `F16`, `BF16` and `F64` are storage only: a constant may be stored in them, computing happens in `F32`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
pub enum DType {
    F32,
    I64,
    I32,
    U8,
    I8,
    /// One byte, 0 or 1.
    Bool,
    F16,
    BF16,
    F64,
}

impl DType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::I64 | DType::F64 => 8,
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 | DType::I8 | DType::Bool => 1,
        }
    }

    /// The type that values of this storage type have while running.
    pub const fn runtime(self) -> DType {
        match self {
            DType::F16 | DType::BF16 | DType::F64 => DType::F32,
            other => other,
        }
    }

    /// Whether arithmetic on it is integer arithmetic (`Bool` is neither).
    pub const fn is_integer(self) -> bool {
        matches!(self, DType::I64 | DType::I32 | DType::U8 | DType::I8)
    }

    /// Name as people write it.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "float32",
            DType::I64 => "int64",
            DType::I32 => "int32",
            DType::U8 => "uint8",
            DType::I8 => "int8",
            DType::Bool => "bool",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::F64 => "float64",
        }
    }
}

/// A constant: little-endian elements in row-major order, shared, not necessarily aligned.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Storage type.
    pub dtype: DType,
    /// Dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// `shape.product() * dtype.size()` bytes.
    pub data: Bytes,
}

impl Tensor {
    /// A scalar.
    pub fn scalar_f32(value: f32) -> Tensor {
        Tensor { dtype: DType::F32, shape: Vec::new(), data: Bytes::copy_from_slice(&value.to_le_bytes()) }
    }

    /// A vector of i64.
    pub fn vector_i64(values: &[i64]) -> Tensor {
        Tensor::of_integers(DType::I64, vec![values.len()], values)
    }

    /// Integers or bools of a runtime type.
    pub(crate) fn of_integers(dtype: DType, shape: Vec<usize>, values: &[i64]) -> Tensor {
        let mut data = Vec::with_capacity(values.len() * dtype.size());
        for value in values {
            data.extend_from_slice(&value.to_le_bytes()[..dtype.size()]);
        }
        Tensor { dtype, shape, data: data.into() }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All elements of an integer or bool tensor; `None` for other types.
    pub fn integers(&self) -> Option<Vec<i64>> {
        let mut integers = Vec::with_capacity(self.len());
        for element in self.data.chunks_exact(self.dtype.size()) {
            integers.push(match self.dtype {
                DType::I64 => bytemuck::pod_read_unaligned(element),
                DType::I32 => bytemuck::pod_read_unaligned::<i32>(element).into(),
                DType::U8 | DType::Bool => element[0].into(),
                DType::I8 => (element[0] as i8).into(),
                DType::F32 | DType::F16 | DType::BF16 | DType::F64 => return None,
            });
        }
        Some(integers)
    }

    /// All elements of a float tensor as f32; `None` for other types.
    pub fn floats(&self) -> Option<Vec<f32>> {
        let mut floats = vec![0.0; self.data.len() / self.dtype.size()];
        self.floats_into(&mut floats).then_some(floats)
    }

    /// Writes the elements of a float tensor as f32; whether it is one.
    pub(crate) fn floats_into(&self, out: &mut [f32]) -> bool {
        fn each<const N: usize>(bytes: &[u8], out: &mut [f32], convert: impl Fn([u8; N]) -> f32) {
            for (out, &element) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
                *out = convert(element);
            }
        }
        match self.dtype {
            DType::F32 => each(&self.data, out, f32::from_le_bytes),
            DType::F16 => each(&self.data, out, |b| half::f16::from_le_bytes(b).to_f32()),
            DType::BF16 => each(&self.data, out, |b| half::bf16::from_le_bytes(b).to_f32()),
            DType::F64 => each(&self.data, out, |b| f64::from_le_bytes(b) as f32),
            _ => return false,
        }
        true
    }

    /// The element of a float tensor that has just one.
    pub fn single_f32(&self) -> Option<f32> {
        if self.len() == 1 { self.floats()?.first().copied() } else { None }
    }
}

/// Identifies a value within its model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct ValueId(NonZeroU32);

// One more than its index, so that an absent operand takes no room of its own.
const _: () = assert!(size_of::<Option<ValueId>>() == 4);

impl ValueId {
    /// Of the value with this index; the largest index is no value's.
    pub const fn new(index: u32) -> ValueId {
        ValueId(NonZeroU32::MIN.saturating_add(index))
    }

    /// Its place in lists with an element for each value.
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// One dimension of a model input or output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PortDim {
    /// Known from the file.
    Fixed(usize),
    /// Named in the file (`batch_size`), or given a name by the loader.
    Symbol(String),
}

/// What the outside sees of a model input or output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Name in the file.
    pub name: String,
    /// The value it feeds or shows.
    pub value: ValueId,
    /// Element type (a storage type such as `F16` is possible: the outside hands over such elements).
    pub dtype: DType,
    /// Dimensions; `None` where the file does not say. A model with such inputs is one for [`crate::OpenSession`].
    pub dims: Option<Vec<PortDim>>,
}

/// Element-wise functions of one tensor; output has the input's type unless said otherwise.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Unary {
    Abs,
    Neg,
    Sign,
    Ceil,
    Floor,
    Sqrt,
    Reciprocal,
    Exp,
    Log,
    Sin,
    Cos,
    Erf,
    Tanh,
    Sigmoid,
    Relu,
    /// `x / 2 * (1 + erf(x / sqrt 2))`
    Gelu,
    /// As `Gelu`, with 1.4140625 for the square root of 2, which is what it is in half floats.
    GeluHalf,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`
    GeluTanh,
    /// Rounded to the precision of a half float.
    Half,
    /// Bool to bool.
    Not,
    /// F32 to bool.
    IsNan,
}

/// Element-wise functions of two tensors with NumPy broadcasting. Comparisons give bool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    And,
    Or,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Binary {
    /// Whether the result is bool whatever the operands are.
    pub const fn gives_bool(self) -> bool {
        use Binary::*;
        matches!(self, Equal | Less | LessOrEqual | Greater | GreaterOrEqual)
    }
}

/// How a linear layer ends.
pub use fourlane_kernels::Activation;
/// What the codes of a [`Op::LinearBlocks`] mean.
pub use fourlane_kernels::gemm_blocks::Code;
/// How mean and variance are rounded, see [`fourlane_kernels::literal`].
pub use fourlane_kernels::literal::Moments;
/// What [`Op::Reduce`] makes of numbers.
pub use fourlane_kernels::reduce::ReduceOp as Reduce;

/// An operator with its attributes. Inputs are listed as `(a, b, [optional])`; semantics are those of the newest ONNX
/// opset unless said otherwise.
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// `(x)`
    Unary(Unary),
    /// `(a, b)`
    Binary(Binary),
    /// `(condition, x, y)` with broadcasting.
    Where,
    /// `(condition, x, y)`: x if the condition, a single one, is true, else y. Where inference does not know it, both must
    /// have the same shape.
    If,
    /// `(x)`: to a runtime type.
    Cast(DType),
    /// `(x, [axes])`: no axes means all, unless `noop_with_empty_axes`.
    #[allow(missing_docs)]
    Reduce { op: Reduce, keep_dims: bool, noop_with_empty_axes: bool },
    /// `(x)`: along `axis`; if `coerced`, over everything from `axis` on, as ONNX had it before opset 13. For the last
    /// axis both are the same.
    #[allow(missing_docs)]
    Softmax { axis: i64, coerced: bool },
    /// `(x, [scale], [bias])`: normalised over `axis..`; scale and bias have the shape of these axes. `moments` counts only
    /// where every bit does.
    #[allow(missing_docs)]
    LayerNorm { axis: i64, epsilon: f32, moments: Moments },
    /// `(a, b)` with broadcasting of the leading axes, f32.
    MatMul,
    /// `(a, b, [c])`: `alpha * a' b' + beta * c`, rank 2.
    #[allow(missing_docs)]
    Gemm { alpha: f32, beta: f32, trans_a: bool, trans_b: bool },
    /// `(x)`: output axis `i` is input axis `perm[i]`.
    #[allow(missing_docs)]
    Transpose { perm: Vec<usize> },
    /// `(x, shape)`; `allow_zero`: 0 means 0, not "as the input".
    #[allow(missing_docs)]
    Reshape { allow_zero: bool },
    /// `(x, axes)`
    Unsqueeze,
    /// `(x, [axes])`
    Squeeze,
    /// `(x)`: to rank 2, split before `axis`.
    #[allow(missing_docs)]
    Flatten { axis: i64 },
    /// `(x, shape)`: NumPy broadcasting of `x` with `shape`.
    Expand,
    /// `(x...)`
    #[allow(missing_docs)]
    Concat { axis: i64 },
    /// `(x, [sizes])`; without sizes, as many equal parts as there are outputs (the last may be smaller).
    #[allow(missing_docs)]
    Split { axis: i64 },
    /// `(x, starts, ends, [axes], [steps])`
    Slice,
    /// `(x, indices)`: negative indices count from the end.
    #[allow(missing_docs)]
    Gather { axis: i64 },
    /// `(x, indices)`
    #[allow(missing_docs)]
    GatherElements { axis: i64 },
    /// `(x, indices)`
    #[allow(missing_docs)]
    GatherNd { batch_dims: usize },
    /// `(x)`: the dimensions `start..end` as i64; `end` of `i64::MAX` means all.
    #[allow(missing_docs)]
    Shape { start: i64, end: i64 },
    /// `(start, limit, delta)`
    Range,
    /// `(x, repeats)`
    Tile,
    /// `(x, pads, [value], [axes])`: constant padding.
    Pad,
    /// `(x, axis)`
    #[allow(missing_docs)]
    CumSum { exclusive: bool, reverse: bool },
    /// `(x, k) -> (values, indices: i64)`: along `axis` the `k` largest or smallest, best first; of equals the first.
    #[allow(missing_docs)]
    TopK { axis: i64, largest: bool },
    /// `(q, k, v, [mask])`: scaled dot-product attention.
    ///
    /// q is `[batch, seq_q, heads * head_dim]`, k and v `[batch, seq_k, ...]` alike; the output is
    /// `[batch, seq_q, heads * v_dim]`. The mask is f32, added to the scaled scores, and broadcasts to
    /// `[batch, heads, seq_q, seq_k]`. A row that is masked out entirely gives zeros if its mask is -inf, the mean
    /// of v if it is a finite number that swallows the scores.
    #[allow(missing_docs)]
    Attention { heads: usize, scale: f32 },
    /// `(q, k, v, [mask])`: `Attention` with q, k, v and the output `[batch, heads, seq, head_dim]`; no scale means
    /// `1 / sqrt(head_dim)`. Loaders make it where heads or dimensions are not in the file; a pass turns it into
    /// `Attention`.
    #[allow(missing_docs)]
    AttentionHeads { scale: Option<f32> },
    /// `(x) -> (y: u8, scale: f32 scalar, zero_point: u8 scalar)`: one range over the tensor, ONNX's rounding.
    DynamicQuantizeLinear,
    /// `(x, scale, [zero_point])`: scale is a scalar or runs along `axis`; output type is the zero point's, else u8.
    #[allow(missing_docs)]
    QuantizeLinear { axis: i64 },
    /// `(x, scale, [zero_point])`: scale is a scalar or runs along `axis`.
    #[allow(missing_docs)]
    DequantizeLinear { axis: i64 },
    /// `(a, b, [a_zero_point], [b_zero_point]) -> i32`, u8 or i8 each; zero points are scalars or per row of a, per
    /// column of b.
    MatMulInteger,

    /// `(codes, scales, [zero_points])`: rows of `k` elements in blocks of integer codes; the last axis of codes has the
    /// bytes of a row, those of scales and zero points have the blocks of a row, or the bytes of their codes.
    #[allow(missing_docs)]
    DequantizeBlocks { code: Code, block: usize, k: usize },
    /// `(codes)`: the bytes of a matrix `[k, n]` of codes of 4 (n even), 8 or 16 bits, turned into `[n, k]` with rows of
    /// whole bytes.
    #[allow(missing_docs)]
    TransposeCodes { code: Code, k: usize, n: usize },
    /// `(x, codes, scales, [zero_points], [bias], [residual])`: as `Linear`, with a constant weight `[n, k]` that stays in
    /// blocks of codes. Scales are floats; zero points are codes (u8, or as the codes) or floats, and where absent the middle of
    /// the range. If `half`, the product is rounded to half floats before the bias, as by `Unary::Half`.
    #[allow(missing_docs)]
    LinearBlocks { activation: Activation, code: Code, block: usize, k: usize, n: usize, half: bool },

    // What only passes make:
    /// `(q, k, v, lengths, grid, [mask])`: `Attention` of texts of different lengths that stand one behind the other.
    ///
    /// k and v are `[1, tokens, ...]`: of text `i`, `lengths[i]` (i64) rows. q is alike, or `[1, texts, ...]` with one query
    /// for each text. Each text attends to all of itself and to nothing else. `grid` is `[texts, longest]`: only its shape
    /// is read, which bounds the lengths. The mask is as of `Attention`, for `[texts, heads, longest, longest]`.
    #[allow(missing_docs)]
    AttentionStacked { heads: usize, scale: f32 },
    /// `(q, x, k_weight, v_weight, lengths, grid, [v_bias])`: `AttentionStacked` with one query for each text, of keys
    /// `x k_weight` and values `x v_weight + v_bias`, which are not computed. The weights are constant matrices of one shape,
    /// `[hidden, heads * head_dim]`, or turned if `trans_b`.
    #[allow(missing_docs)]
    AttentionAbsorbed { heads: usize, scale: f32, trans_b: bool },
    /// `(x, table)`: for each element of x, of 8 bits, that of the table of 256 bytes which these bits are the place of.
    LookUp,
    /// `()`: a vector of integers that depend on nothing but the shape of the inputs.
    Dims(Vec<Dim>),
    /// `(x) -> (y: u8, scale: f32 [rows], zero_point: u8 [rows])`: as `DynamicQuantizeLinear`, with one range per row, that is
    /// per index of all axes but the last.
    QuantizeRows,
    /// `(x, weight, [bias], [residual])`: `activation(alpha * x weight + bias) + residual` with a constant weight
    /// `[k, n]` (`[n, k]` if `trans_b`), x `[..., k]`, bias `[n]`, residual of the output's shape.
    #[allow(missing_docs)]
    Linear { activation: Activation, alpha: f32, trans_b: bool },
    /// `(x, [x_scale, x_zero_point], weight, weight_scale, [weight_zero_point], [bias], [residual])`: as `Linear`, with
    /// quantised x and a constant integer weight `[k, n]`; the integer product is exact. Scale and zero point of x are single
    /// or one per row; without them x is f32, and each row is quantised on the way as by `QuantizeRows`.
    #[allow(missing_docs)]
    LinearInt8 { activation: Activation },
}

impl Op {
    /// The operator's name, without its attributes.
    pub fn name(&self) -> String {
        let kind = match self {
            Op::Unary(op) => return format!("{op:?}"),
            Op::Binary(op) => return format!("{op:?}"),
            Op::Reduce { op, .. } => return format!("Reduce{op:?}"),
            Op::Linear { activation, .. } => return activated("Linear", activation),
            Op::LinearInt8 { activation } => return activated("LinearInt8", activation),
            Op::LinearBlocks { activation, .. } => return activated("LinearBlocks", activation),
            // Written out: what is derived for `Debug` would be kilobytes in a page.
            Op::Where => "Where",
            Op::If => "If",
            Op::TopK { .. } => "TopK",
            Op::DequantizeBlocks { .. } => "DequantizeBlocks",
            Op::TransposeCodes { .. } => "TransposeCodes",
            Op::Cast(_) => "Cast",
            Op::Softmax { .. } => "Softmax",
            Op::LayerNorm { .. } => "LayerNorm",
            Op::MatMul => "MatMul",
            Op::Gemm { .. } => "Gemm",
            Op::Transpose { .. } => "Transpose",
            Op::Reshape { .. } => "Reshape",
            Op::Unsqueeze => "Unsqueeze",
            Op::Squeeze => "Squeeze",
            Op::Flatten { .. } => "Flatten",
            Op::Expand => "Expand",
            Op::Concat { .. } => "Concat",
            Op::Split { .. } => "Split",
            Op::Slice => "Slice",
            Op::Gather { .. } => "Gather",
            Op::GatherElements { .. } => "GatherElements",
            Op::GatherNd { .. } => "GatherNd",
            Op::Shape { .. } => "Shape",
            Op::Range => "Range",
            Op::Tile => "Tile",
            Op::Pad => "Pad",
            Op::CumSum { .. } => "CumSum",
            Op::Attention { .. } => "Attention",
            Op::AttentionHeads { .. } => "AttentionHeads",
            Op::AttentionStacked { .. } => "AttentionStacked",
            Op::AttentionAbsorbed { .. } => "AttentionAbsorbed",
            Op::DynamicQuantizeLinear => "DynamicQuantizeLinear",
            Op::QuantizeLinear { .. } => "QuantizeLinear",
            Op::DequantizeLinear { .. } => "DequantizeLinear",
            Op::MatMulInteger => "MatMulInteger",
            Op::Dims(_) => "Dims",
            Op::LookUp => "LookUp",
            Op::QuantizeRows => "QuantizeRows",
        };
        kind.into()
    }
}

fn activated(kind: &str, activation: &Activation) -> String {
    if *activation == Activation::None { kind.into() } else { format!("{kind}+{activation:?}") }
}

/// One operation.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Operands; an optional one that is absent is `None`.
    pub inputs: Vec<Option<ValueId>>,
    /// Results.
    pub outputs: Vec<ValueId>,
    /// Name in the file, for messages and profiles. Nodes made of it by loader or passes keep it.
    pub name: String,
}

/// A model: nodes in topological order (every input is a model input, a constant or an earlier node's output).
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// In the order of the file.
    pub inputs: Vec<Port>,
    /// In the order of the file.
    pub outputs: Vec<Port>,
    /// In topological order.
    pub nodes: Vec<Node>,
    /// Values that are known.
    pub constants: SortedMap<ValueId, Tensor>,
    /// How many value ids are in use.
    pub value_count: u32,
}
