//! onnxruntime's products with a weight in blocks of small codes. The codes stay as they are in the file.

use super::{Outputs, one};
use crate::builder::Builder;
use crate::error::Reject;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Activation, Binary, Code, DType, Op};

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

/// Rows of a table in blocks of 4-bit integers: looked up first, then dequantised.
pub(super) fn gather(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    n.only("gather_axis", 0)?;
    n.only("quantize_axis", 1)?;
    n.only("bits", 4)?;
    let block = n.int_or("block_size", 128)?;
    let (table, ids, scales, zeros) = (n.input(0)?, n.input(1)?, n.input(2)?, n.optional(3));
    let width = match b.tensor(table).map(|tensor| (tensor.dtype, tensor.shape.as_slice())) {
        // Signed integers have 0 in the middle; what unsigned ones mean without a zero point has changed.
        Some((DType::U8, [_, width])) if zeros.is_some() => *width,
        Some((DType::I8, [_, width])) => *width,
        _ => return Err("of a table that is no constant matrix of 4-bit integers".into()),
    };
    let Some(blocks) = i64::try_from(width).ok().filter(|width| block > 0 && width % block == 0).map(|w| w / block)
    else {
        return Err("with blocks that do not fill the rows".into());
    };
    let look_up = |b: &mut Builder<'_>, table| b.emit(Op::Gather { axis: 0 }, &[table, ids]);
    let reshape = |b: &mut Builder<'_>, x, shape| b.emit(Op::Reshape { allow_zero: false }, &[x, shape]);
    let (split, single) = (b.ints(&[-1, blocks, block]), b.ints(&[-1, blocks, 1]));
    let rows = look_up(b, table);
    let whole = b.emit(Op::Shape { start: 0, end: i64::MAX }, &[rows]);
    let mut y = reshape(b, rows, split);
    y = b.cast(y, DType::F32);
    if let Some(zeros) = zeros {
        let zeros = look_up(b, zeros);
        let zeros = reshape(b, zeros, single);
        let zeros = b.cast(zeros, DType::F32);
        y = b.binary(Binary::Sub, y, zeros);
    }
    let scales = look_up(b, scales);
    let scales = reshape(b, scales, single);
    y = b.binary(Binary::Mul, y, scales);
    one(reshape(b, y, whole))
}
