//! Operators to IR, one family a file.
//!
//! A converter takes what it understands from its [`NodeReader`], emits IR nodes and returns the value of the node's
//! first output (those of others it leaves in [`NodeReader::more`]); returning an input value is how `Identity`
//! disappears. Outputs that are not returned do not exist, which is an error only if something reads them. Without a
//! value the node is rejected, for the reason that the reader was told.
//!
//! Old and new forms of an operator are read by one converter, whichever opset the file claims: optimisers mix them.
//! The opset decides only where the same form changed its meaning.

mod attention;
mod blocks;
mod convolution;
mod elementwise;
mod fused;
mod layout;
mod matrix;
mod qlinear;
mod quantize;
mod quantized;
mod rotary;

use crate::builder::Builder;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, Op, Reduce, Unary, ValueId};

type Converter = fn(&mut NodeReader<'_>, &mut Builder<'_>) -> Option<ValueId>;

/// Converts a node; gives the value of its first output.
pub(crate) fn convert(domain: &str, op_type: &str, n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let converters: &[(&str, Converter)] = match domain {
        "" => {
            if let Some(converted) = elementwise::convert(op_type, n, b) {
                return Some(converted);
            }
            &STANDARD
        }
        "com.microsoft" => &CONTRIB,
        _ => return None,
    };
    let (_, converter) = converters.iter().find(|(name, _)| *name == op_type)?;
    converter(n, b)
}

/// An operator that has in the IR the same inputs: so many that there must be, and others.
fn plain(op: Op, required: usize, optional: usize, n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let mut inputs = Vec::with_capacity(required + optional);
    for index in 0..required {
        inputs.push(Some(n.input(index)));
    }
    for index in required..required + optional {
        inputs.push(n.optional(index));
    }
    Some(b.emit_optional(op, &inputs))
}

/// The operators of ONNX itself.
static STANDARD: [(&str, Converter); 49] = [
    ("Attention", attention::standard),
    ("Cast", elementwise::cast),
    ("CastLike", elementwise::cast_like),
    ("Clip", elementwise::clip),
    ("Concat", layout::concat),
    ("Constant", layout::constant),
    ("ConstantOfShape", layout::constant_of_shape),
    ("Conv", |n, b| convolution::convert(false, n, b)),
    ("ConvInteger", |n, b| convolution::convert(true, n, b)),
    ("CumSum", layout::cum_sum),
    ("DequantizeLinear", quantize::dequantize),
    ("Dropout", elementwise::dropout),
    ("DynamicQuantizeLinear", quantize::dynamic),
    ("Expand", |n, b| plain(Op::Expand, 2, 0, n, b)),
    ("Flatten", layout::flatten),
    ("Gather", layout::gather),
    ("GatherElements", layout::gather_elements),
    ("GatherND", layout::gather_nd),
    ("Gelu", elementwise::gelu),
    ("Gemm", matrix::gemm),
    ("If", layout::choose),
    ("Identity", |n, _| Some(n.input(0))),
    ("LayerNormalization", matrix::layer_norm),
    ("MatMul", |n, b| plain(Op::MatMul, 2, 0, n, b)),
    ("MatMulInteger", |n, b| plain(Op::MatMulInteger, 2, 2, n, b)),
    ("Max", |n, b| elementwise::variadic(Binary::Max, n, b)),
    ("Min", |n, b| elementwise::variadic(Binary::Min, n, b)),
    ("Pad", layout::pad),
    ("Pow", elementwise::pow),
    ("QLinearMatMul", qlinear::matmul),
    ("QuantizeLinear", quantize::quantize),
    ("Range", |n, b| plain(Op::Range, 3, 0, n, b)),
    ("ReduceMax", |n, b| matrix::reduce(Reduce::Max, n, b)),
    ("ReduceMean", |n, b| matrix::reduce(Reduce::Mean, n, b)),
    ("ReduceMin", |n, b| matrix::reduce(Reduce::Min, n, b)),
    ("ReduceSum", |n, b| matrix::reduce(Reduce::Sum, n, b)),
    ("Reshape", layout::reshape),
    ("RotaryEmbedding", rotary::standard),
    ("Shape", layout::shape),
    ("Slice", layout::slice),
    ("Softmax", matrix::softmax),
    ("Split", layout::split),
    ("Squeeze", layout::squeeze),
    ("Sum", |n, b| elementwise::variadic(Binary::Add, n, b)),
    ("Tile", |n, b| plain(Op::Tile, 2, 0, n, b)),
    ("TopK", layout::top_k),
    ("Transpose", layout::transpose),
    ("Unsqueeze", layout::unsqueeze),
    ("Where", |n, b| plain(Op::Where, 3, 0, n, b)),
];

/// Operators that onnxruntime added, in terms of the standard ones.
static CONTRIB: [(&str, Converter); 23] = [
    ("Attention", attention::packed),
    ("BiasGelu", |n, b| fused::bias_gelu(Unary::Gelu, n, b)),
    ("DequantizeLinear", quantize::dequantize),
    ("DynamicQuantizeMatMul", quantized::dynamic_quantize_matmul),
    ("EmbedLayerNormalization", |n, b| fused::embed_layer_norm(false, n, b)),
    ("FastGelu", |n, b| fused::bias_gelu(Unary::GeluTanh, n, b)),
    ("FusedGemm", fused::gemm),
    ("FusedMatMul", fused::matmul),
    ("GatherBlockQuantized", blocks::gather),
    ("Gelu", |n, b| fused::bias_gelu(Unary::Gelu, n, b)),
    ("MatMulBnb4", blocks::matmul_bnb4),
    ("MatMulIntegerToFloat", quantized::matmul_integer_to_float),
    ("MatMulNBits", blocks::matmul_n_bits),
    ("MultiHeadAttention", attention::multi_head),
    ("QAttention", attention::quantized),
    ("QEmbedLayerNormalization", |n, b| fused::embed_layer_norm(true, n, b)),
    ("QGemm", qlinear::gemm),
    ("QLinearAdd", |n, b| qlinear::binary(Binary::Add, n, b)),
    ("QLinearMul", |n, b| qlinear::binary(Binary::Mul, n, b)),
    ("QLinearSoftmax", qlinear::softmax),
    ("QuantizeLinear", quantize::quantize),
    ("QuickGelu", fused::quick_gelu),
    ("SkipLayerNormalization", fused::skip_layer_norm),
];
