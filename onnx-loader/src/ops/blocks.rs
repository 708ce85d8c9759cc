//! onnxruntime's products with a weight in blocks of small codes. The codes stay as they are in the file.

use super::{Outputs, one};
use crate::builder::Builder;
use crate::error::Reject;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Activation, Code, Op};

/// `x weight^T + bias`, the weight `[N, K]` in integers of 2, 4 or 8 bits.
pub(super) fn matmul_n_bits(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    // How activations may be rounded on the way: ours are not.
    n.ignore(&["accuracy_level"]);
    let code = match n.int_or("bits", 4)? {
        2 => Code::Uint2,
        4 => Code::Uint4,
        8 => Code::Uint8,
        bits => return Err(format!("with weights of {bits} bits").into()),
    };
    let zero_points = n.optional(3);
    if n.optional(4).is_some() {
        return Err("with reordered groups (g_idx)".into());
    }
    let bias = n.optional(5);
    let inputs = vec![Some(n.input(0)?), Some(n.input(1)?), Some(n.input(2)?), zero_points, bias];
    one(b.emit_optional(layer(code, n)?, inputs))
}

/// `x weight^T`, the weight `[N, K]` in levels of normal or 4-bit floats.
pub(super) fn matmul_bnb4(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    n.only("training_mode", 0)?;
    n.only("transB", 1)?;
    let code = match n.int("quant_type")? {
        Some(0) => Code::Fp4,
        Some(1) => Code::Nf4,
        _ => return Err("without a known quant_type".into()),
    };
    let inputs = vec![Some(n.input(0)?), Some(n.input(1)?), Some(n.input(2)?)];
    one(b.emit_optional(layer(code, n)?, inputs))
}

fn layer(code: Code, n: &mut NodeReader) -> Result<Op, Reject> {
    let mut size = |name: &str| -> Result<usize, Reject> {
        let size = n.int(name)?.and_then(|size| usize::try_from(size).ok());
        size.ok_or_else(|| format!("without the attribute {name}").into())
    };
    let (k, columns, block) = (size("K")?, size("N")?, size("block_size")?);
    Ok(Op::LinearBlocks { activation: Activation::None, code, block, k, n: columns })
}
