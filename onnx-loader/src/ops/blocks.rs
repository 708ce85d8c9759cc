//! onnxruntime's products with a weight in blocks of small codes. The codes stay as they are in the file.

use super::{plain, quantize};
use crate::builder::Builder;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Activation, Code, DType, Op, ValueId};

/// `x weight^T + bias`, the weight `[N, K]` in integers of 2, 4 or 8 bits.
pub(super) fn matmul_n_bits(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    with_int4(n)?;
    // How activations may be rounded on the way: ours are not.
    n.ignore(&["accuracy_level"]);
    let code = match n.int_or("bits", 4) {
        2 => Code::Uint2,
        4 => Code::Uint4,
        8 => Code::Uint8,
        bits => return n.reject_for(format!("with weights of {bits} bits")),
    };
    if n.optional(4).is_some() {
        return n.reject("with reordered groups (g_idx)");
    }
    let op = layer(code, n)?;
    let inputs = [Some(n.input(0)), Some(n.input(1)), Some(n.input(2)), n.optional(3), n.optional(5)];
    Some(b.emit_optional(op, &inputs))
}

/// `x weight^T`, the weight `[N, K]` in levels of normal or 4-bit floats.
pub(super) fn matmul_bnb4(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    with_int4(n)?;
    n.only("training_mode", 0);
    n.only("transB", 1);
    let code = match n.int("quant_type") {
        Some(0) => Code::Fp4,
        Some(1) => Code::Nf4,
        _ => return n.reject("without a known quant_type"),
    };
    plain(layer(code, n)?, 3, 0, n, b)
}

/// Rejects the node if this build has none of these operators.
fn with_int4(n: &mut NodeReader<'_>) -> Option<()> {
    if cfg!(feature = "int4") { Some(()) } else { n.reject("in a build without the cargo feature 'int4'") }
}

fn layer(code: Code, n: &mut NodeReader<'_>) -> Option<Op> {
    let [k, columns, block] = [size(n, "K")?, size(n, "N")?, size(n, "block_size")?];
    Some(Op::LinearBlocks { activation: Activation::None, code, block, k, n: columns, half: false })
}

fn size(n: &mut NodeReader<'_>, name: &str) -> Option<usize> {
    let size = n.int(name).and_then(|size| usize::try_from(size).ok());
    if size.is_none() { n.reject_for(format!("without the attribute {name}")) } else { size }
}

/// Rows of a table in blocks of integers: looked up first, then dequantised.
pub(super) fn gather(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    with_int4(n)?;
    n.only("gather_axis", 0);
    n.only("quantize_axis", 1);
    let (bits, block) = (n.int_or("bits", 4), n.int_or("block_size", 128));
    let (table, ids, scales, zeros) = (n.input(0), n.input(1), n.input(2), n.optional(3));
    let (code, k) = match quantize::codes(b, table) {
        // Signed integers have 0 in the middle; what unsigned ones mean without a zero point has changed.
        Some((Code::Int4, [_, k])) if bits == 4 => (Code::Int4, k),
        Some((Code::Uint4, [_, k])) if bits == 4 && zeros.is_some() => (Code::Uint4, k),
        // Bytes with two integers in them, or one.
        Some((Code::Uint8, [_, k])) if bits == 4 && zeros.is_some() => (Code::Uint4, 2 * k),
        Some((Code::Uint8, [_, k])) if bits == 8 && zeros.is_some() => (Code::Uint8, k),
        _ => return n.reject("of a table that is no constant matrix of integers of 4 or 8 bits"),
    };
    let Some(block) = usize::try_from(block).ok().filter(|&block| code.supports_block(k, block) && k % block == 0)
    else {
        return n.reject("with blocks that do not fill the rows");
    };
    // Where rows of zero points are no whole bytes, they are numbers.
    let zeros = zeros.map(|zeros| match (b.narrow(table), b.narrow(zeros)) {
        (Some(_), None) => b.cast(zeros, DType::F32),
        _ => zeros,
    });
    let mut parts = [Some(table), Some(scales), zeros];
    for part in parts.iter_mut().flatten() {
        *part = b.emit(Op::Gather { axis: 0 }, &[*part, ids]);
    }
    Some(b.emit_optional(Op::DequantizeBlocks { code, block, k }, &parts))
}
