//! Operators to IR, one family a file.
//!
//! A converter takes what it understands from its [`NodeReader`], emits IR nodes and returns the values of the node's
//! outputs; returning an input value is how `Identity` disappears. Outputs that are not returned do not exist, which is
//! an error only if something reads them.
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
use crate::error::{Reason, Reject};
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, Reduce, Unary, ValueId};

/// The values of a node's outputs; one that does not exist here is `None` or beyond the end.
pub(crate) type Outputs = Result<Vec<Option<ValueId>>, Reject>;

/// The outputs of a node that has one.
fn one(output: ValueId) -> Outputs {
    Ok(vec![Some(output)])
}

/// Converts an operator of ONNX itself.
pub(crate) fn standard(op_type: &str, n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    if let Some(op) = elementwise::unary(op_type) {
        return one(b.unary(op, n.input(0)?));
    }
    if let Some(op) = elementwise::binary(op_type) {
        let (x, y) = (n.input(0)?, n.input(1)?);
        return one(b.binary(op, x, y));
    }
    match op_type {
        "Attention" => attention::standard(n, b),
        "Cast" => elementwise::cast(n, b),
        "CastLike" => elementwise::cast_like(n, b),
        "Clip" => elementwise::clip(n, b),
        "Concat" => layout::concat(n, b),
        "Constant" => layout::constant(n, b),
        "ConstantOfShape" => layout::constant_of_shape(n, b),
        "Conv" => convolution::float(n, b),
        "ConvInteger" => convolution::integer(n, b),
        "CumSum" => layout::cum_sum(n, b),
        "DequantizeLinear" => quantize::dequantize(n, b),
        "Dropout" => elementwise::dropout(n, b),
        "DynamicQuantizeLinear" => quantize::dynamic(n, b),
        "Expand" => layout::expand(n, b),
        "Flatten" => layout::flatten(n, b),
        "Gather" => layout::gather(n, b),
        "GatherElements" => layout::gather_elements(n, b),
        "GatherND" => layout::gather_nd(n, b),
        "Gelu" => elementwise::gelu(n, b),
        "Gemm" => one(matrix::gemm(n, b)?),
        "If" => layout::choose(n, b),
        "Identity" => one(n.input(0)?),
        "LayerNormalization" => matrix::layer_norm(n, b),
        "MatMul" => matrix::matmul(n, b),
        "MatMulInteger" => quantized::matmul_integer(n, b),
        "Max" | "Min" | "Sum" => elementwise::variadic(op_type, n, b),
        "Pad" => layout::pad(n, b),
        "Pow" => elementwise::pow(n, b),
        "QLinearMatMul" => qlinear::matmul(n, b),
        "QuantizeLinear" => quantize::quantize(n, b),
        "Range" => layout::range(n, b),
        "ReduceMax" => matrix::reduce(Reduce::Max, n, b),
        "ReduceMean" => matrix::reduce(Reduce::Mean, n, b),
        "ReduceMin" => matrix::reduce(Reduce::Min, n, b),
        "ReduceSum" => matrix::reduce(Reduce::Sum, n, b),
        "Reshape" => layout::reshape(n, b),
        "RotaryEmbedding" => rotary::standard(n, b),
        "Shape" => layout::shape(n, b),
        "Slice" => layout::slice(n, b),
        "Softmax" => matrix::softmax(n, b),
        "Split" => layout::split(n, b),
        "Squeeze" => layout::squeeze(n, b),
        "Tile" => layout::tile(n, b),
        "TopK" => layout::top_k(n, b),
        "Transpose" => layout::transpose(n, b),
        "Unsqueeze" => layout::unsqueeze(n, b),
        "Where" => elementwise::select(n, b),
        _ => Err(Reason::Operator.into()),
    }
}

/// Converts an operator that onnxruntime added (domain `com.microsoft`), in terms of the standard ones.
pub(crate) fn contrib(op_type: &str, n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    match op_type {
        "Attention" => attention::packed(n, b),
        "BiasGelu" => fused::bias_gelu(Unary::Gelu, n, b),
        "DequantizeLinear" => quantize::dequantize(n, b),
        "DynamicQuantizeMatMul" => quantized::dynamic_quantize_matmul(n, b),
        "EmbedLayerNormalization" => fused::embed_layer_norm(n, b),
        "FastGelu" => fused::bias_gelu(Unary::GeluTanh, n, b),
        "FusedGemm" => fused::gemm(n, b),
        "FusedMatMul" => fused::matmul(n, b),
        "GatherBlockQuantized" => blocks::gather(n, b),
        "Gelu" => fused::bias_gelu(Unary::Gelu, n, b),
        "MatMulBnb4" => blocks::matmul_bnb4(n, b),
        "MatMulIntegerToFloat" => quantized::matmul_integer_to_float(n, b),
        "MatMulNBits" => blocks::matmul_n_bits(n, b),
        "MultiHeadAttention" => attention::multi_head(n, b),
        "QAttention" => attention::quantized(n, b),
        "QEmbedLayerNormalization" => fused::embed_layer_norm_quantized(n, b),
        "QGemm" => qlinear::gemm(n, b),
        "QLinearAdd" => qlinear::binary(Binary::Add, n, b),
        "QLinearMul" => qlinear::binary(Binary::Mul, n, b),
        "QLinearSoftmax" => qlinear::softmax(n, b),
        "QuantizeLinear" => quantize::quantize(n, b),
        "QuickGelu" => fused::quick_gelu(n, b),
        "SkipLayerNormalization" => fused::skip_layer_norm(n, b),
        _ => Err(Reason::Operator.into()),
    }
}
