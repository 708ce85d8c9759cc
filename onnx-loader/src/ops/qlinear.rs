//! onnxruntime's operators that are quantised at both ends: integers in, integers out.
//!
//! Each is the operator on floats that it stands for, between dequantised operands and a quantised result. This is how
//! other tools write the same models. Only a product with a constant is one of integers, which is scaled afterwards.

use super::{matrix, quantize, quantized};
use crate::builder::Builder;
use crate::reader::NodeReader;
use bytes::Bytes;
use fourlane_graph::ir::{Binary, DType, Op, Tensor, ValueId};

/// A quantised operand, as three consecutive inputs.
#[derive(Clone, Copy)]
struct Operand {
    x: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
}

impl Operand {
    fn take(n: &mut NodeReader<'_>, first: usize) -> Self {
        Self { x: n.input(first), scale: n.input(first + 1), zero: n.optional(first + 2) }
    }

    /// The left one of a product, whose scales would run along the rows.
    fn take_left(n: &mut NodeReader<'_>, b: &Builder<'_>) -> Self {
        let x = Self::take(n, 0);
        if !quantize::single(b, x.scale) || x.zero.is_some_and(|zero| !quantize::single(b, zero)) {
            n.reject::<()>("with a scale per row");
        }
        x
    }

    /// As floats; if there is more than one scale, they run along `axis`.
    fn dequantize(self, b: &mut Builder<'_>, axis: i64) -> ValueId {
        b.emit_optional(Op::DequantizeLinear { axis }, &[Some(self.x), Some(self.scale), self.zero])
    }
}

/// `y` as integers, with the scale that is the input `first` and the zero point behind it. Without a zero point it is 0, of the type of the operand `like`.
fn requantize(n: &mut NodeReader<'_>, b: &mut Builder<'_>, y: ValueId, first: usize, like: Operand) -> Option<ValueId> {
    let (scale, zero) = (n.input(first), n.optional(first + 1));
    let dtype = n.dtype(b, zero.unwrap_or(like.x))?;
    if !matches!(dtype, DType::U8 | DType::I8) {
        return n.reject("of a type other than int8 and uint8");
    }
    let zero = zero.unwrap_or_else(|| b.constant(Tensor { dtype, shape: Vec::new(), data: Bytes::from_static(&[0]) }));
    Some(b.emit(Op::QuantizeLinear { axis: -1 }, &[y, scale, zero]))
}

/// The product of x with a constant, in integers.
fn integers(b: &mut Builder<'_>, x: Operand, y: Operand, weight: ValueId, bias: Option<ValueId>) -> ValueId {
    quantized::product(b, [Some(x.x), Some(weight), x.zero, y.zero], [x.scale, y.scale], bias)
}

/// `a b`
pub(super) fn matmul(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let (x, y) = (Operand::take_left(n, b), Operand::take(n, 3));
    let product = match b.tensor(y.x) {
        Some(_) => integers(b, x, y, y.x, None),
        None => {
            let floats = [x.dequantize(b, -1), y.dequantize(b, -1)];
            b.emit(Op::MatMul, &floats)
        }
    };
    requantize(n, b, product, 6, x)
}

/// `alpha * a' b' + c`, where c is an integer, in units of the product's scale. Without a scale for it, the result
/// stays float.
pub(super) fn gemm(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let alpha = n.float_or("alpha", 1.0);
    let (trans_a, trans_b) = (n.flag("transA", false), n.flag("transB", false));
    let (x, y) = (Operand::take_left(n, b), Operand::take(n, 3));
    let bias = n.optional(6).map(|bias| {
        let bias = b.cast(bias, DType::F32);
        let scale = b.binary(Binary::Mul, x.scale, y.scale);
        b.binary(Binary::Mul, bias, scale)
    });
    let product = if alpha == 1.0 && !trans_a && b.tensor(y.x).is_some() {
        let weight = if trans_b { b.emit(Op::Transpose { perm: vec![1, 0] }, &[y.x]) } else { y.x };
        integers(b, x, y, weight, bias)
    } else {
        let inputs = [Some(x.dequantize(b, -1)), Some(y.dequantize(b, if trans_b { 0 } else { 1 })), bias];
        b.emit_optional(Op::Gemm { alpha, beta: alpha, trans_a, trans_b }, &inputs)
    };
    if n.has_input(7) { requantize(n, b, product, 7, x) } else { Some(product) }
}

/// A function of two tensors.
pub(super) fn binary(op: Binary, n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let (x, y) = (Operand::take(n, 0), Operand::take(n, 3));
    let floats = [x.dequantize(b, -1), y.dequantize(b, -1)];
    let z = b.emit(Op::Binary(op), &floats);
    requantize(n, b, z, 6, x)
}

/// The attribute `opset` says which of the two meanings of `Softmax` is meant.
pub(super) fn softmax(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let opset = n.int_or("opset", n.opset);
    let axis = n.int_or("axis", -1);
    let x = Operand::take(n, 0);
    let floats = x.dequantize(b, -1);
    let y = matrix::softmax_of(b, floats, axis, opset);
    requantize(n, b, y, 3, x)
}
