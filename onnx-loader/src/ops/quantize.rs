//! The steps between floats and integers of 4, 8, 16 and 32 bits.
//!
//! 8 bits have operators in the IR. Values of 16 bits are kept in an i32, and getting there takes arithmetic in floats,
//! which is exact for integers of that size. Weights of 4 and 16 bits stay in the file's codes where blocks or rows of them
//! share a scale; other constants are widened.

use crate::builder::{Builder, Fact};
use crate::proto::data_type;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, Code, DType, Op, Tensor, ValueId};

/// y, its scale and its zero point.
pub(super) fn dynamically(b: &mut Builder<'_>, x: ValueId) -> Vec<ValueId> {
    let scalar = |dtype| Fact { dtype: Some(dtype), rank: Some(0) };
    let y = Fact { dtype: Some(DType::U8), rank: b.fact(x).rank };
    b.emit_outputs(Op::DynamicQuantizeLinear, &[Some(x)], &[y, scalar(DType::F32), scalar(DType::U8)])
}

pub(super) fn dynamic(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let [y, scale, zero] = dynamically(b, n.input(0)).try_into().ok()?;
    n.more = vec![Some(scale), Some(zero)];
    Some(y)
}

/// The result's type is the zero point's, or the attribute's, or u8.
pub(super) fn quantize(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.ignore(&["saturate"]);
    n.only("block_size", 0);
    n.only("precision", 0);
    let axis = n.int_or("axis", 1);
    let (x, scale, zero) = (n.input(0), n.input(1), n.optional(2));
    let wanted = i32::try_from(n.int_or("output_dtype", 0)).unwrap_or(-1);
    let code = match zero {
        Some(zero) => match n.dtype(b, zero)? {
            DType::U8 => data_type::UINT8,
            DType::I8 => data_type::INT8,
            _ => b.narrow(zero).unwrap_or(-1),
        },
        None if wanted == 0 => data_type::UINT8,
        None => wanted,
    };
    match (code, zero) {
        (data_type::UINT8, _) | (data_type::INT8, Some(_)) => {
            Some(b.emit_optional(Op::QuantizeLinear { axis }, &[Some(x), Some(scale), zero]))
        }
        (data_type::UINT16, _) => quantize_16_bits(n, b, [0.0, 65535.0], x, scale, zero),
        (data_type::INT16, _) => quantize_16_bits(n, b, [-32768.0, 32767.0], x, scale, zero),
        (data_type::INT8, None) => n.reject("without a zero point to int8"),
        _ => n.reject("to a type other than int8, uint8, int16 and uint16"),
    }
}

/// `clamp(round(x / scale) + zero, low, high)` as i32.
///
/// Clamped first, the quotient is small enough that adding 1.5 * 2^23 and taking it away again rounds it to an integer,
/// to the even one at a tie.
fn quantize_16_bits(
    n: &mut NodeReader<'_>,
    b: &mut Builder<'_>,
    bounds: [f32; 2],
    x: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
) -> Option<ValueId> {
    if !single(b, scale) {
        return n.reject("to 16 bits with more than one scale");
    }
    const MAGIC: f32 = 12_582_912.0;
    let zero = zero.map(|zero| b.cast(zero, DType::F32));
    let mut y = b.binary(Binary::Div, x, scale);
    let [low, high] = bounds;
    for (op, number) in [(Binary::Max, low), (Binary::Min, high), (Binary::Add, MAGIC), (Binary::Sub, MAGIC)] {
        let mut number = b.scalar(number);
        // Not off the first of the two: it is what the sum is rounded by.
        if let Some(zero) = zero.filter(|_| op != Binary::Add) {
            number = b.binary(Binary::Sub, number, zero);
        }
        y = b.binary(op, y, number);
    }
    Some(b.cast(y, DType::I32))
}

/// Whether a value is known to be one number.
pub(super) fn single(b: &Builder<'_>, value: ValueId) -> bool {
    b.fact(value).rank == Some(0) || b.tensor(value).is_some_and(|tensor| tensor.len() == 1)
}

pub(super) fn dequantize(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.ignore(&["output_dtype"]);
    let (axis, block) = (n.int_or("axis", 1), n.int_or("block_size", 0));
    let (x, scale, zero) = (n.input(0), n.input(1), n.optional(2));
    if let Some(y) = dequantize_codes(b, axis, block, [x, scale], zero) {
        return Some(y);
    }
    let (mut x, mut zero) = (b.unpacked(x), zero.map(|zero| b.unpacked(zero)));
    match n.dtype(b, x)? {
        DType::U8 | DType::I8 | DType::I32 => {}
        // A constant of 16 bits.
        DType::I64 => x = b.cast(x, DType::I32),
        _ => return n.reject("of a type that is no integer"),
    }
    if let Some(wide) = zero.filter(|&zero| b.fact(zero).dtype == Some(DType::I64)) {
        zero = Some(b.cast(wide, DType::I32));
    }
    if block != 0 {
        return dequantize_blocks(n, b, axis, block, [x, scale], zero);
    }
    Some(b.emit_optional(Op::DequantizeLinear { axis }, &[Some(x), Some(scale), zero]))
}

/// The type and the sizes of a constant matrix of integers of 4, 8 or 16 bits.
pub(super) fn codes(b: &Builder<'_>, x: ValueId) -> Option<(Code, [usize; 2])> {
    if let Some((code, sizes)) = b.packed(x) {
        let code = match code {
            data_type::INT4 => Code::Int4,
            data_type::UINT4 => Code::Uint4,
            data_type::INT16 => Code::Int16,
            _ => Code::Uint16,
        };
        return Some((code, sizes));
    }
    let tensor = b.tensor(x)?;
    let [rows, cols] = tensor.shape[..] else { return None };
    match tensor.dtype {
        DType::I8 => Some((Code::Int8, [rows, cols])),
        DType::U8 => Some((Code::Uint8, [rows, cols])),
        _ => None,
    }
}

/// Weights stay in codes, which products expand: those in blocks, and those of 4 or 16 bits with a scale for each row or
/// column or one for all. (8 bits may be multiplied as integers, which passes find out.) Rows of codes are as long as sums in
/// a product, so that a matrix `[k, n]` is turned, and the result turned back.
fn dequantize_codes(
    b: &mut Builder<'_>,
    axis: i64,
    block: i64,
    [x, scale]: [ValueId; 2],
    zero: Option<ValueId>,
) -> Option<ValueId> {
    if cfg!(not(feature = "int4")) {
        return None;
    }
    let (code, sizes) = codes(b, x)?;
    let (is_packed, in_blocks, is_single) = (b.packed(x).is_some(), block != 0, b.tensor(scale)?.len() == 1);
    let axis = usize::try_from(if axis < 0 { axis + 2 } else { axis }).ok().filter(|&axis| axis < 2)?;
    // Scales are of blocks along one axis, or of whole rows along the other, or one for all.
    let along = if in_blocks { axis } else { usize::from(is_single || axis == 0) };
    let (k, n) = (sizes[along], sizes[1 - along]);
    let block = if in_blocks { usize::try_from(block).ok()? } else { k };
    if k == 0 || !code.supports_block(k, block) || k % block != 0 || !(in_blocks || is_packed) {
        return None;
    }
    let (turn, blocks) = (along == 0, k / block);
    // For each block a number, as rows of them.
    let to_blocks = |b: &mut Builder<'_>, value, number: DType| {
        let tensor = b.tensor(value)?;
        let (shape, single) = (tensor.shape.as_slice(), tensor.len() == 1);
        let fits = match in_blocks {
            true => shape == if turn { [blocks, n] } else { [n, blocks] },
            false => single || shape == [n],
        };
        let value = b.cast(value, number);
        Some(match (fits, in_blocks) {
            (false, _) => return None,
            (true, true) if turn => transpose(b, value),
            (true, true) => value,
            (true, false) if single => {
                let shape = ints(b, &[n, 1]);
                b.emit(Op::Expand, &[value, shape])
            }
            (true, false) => b.unsqueeze(value, &[1]),
        })
    };
    let scale = to_blocks(b, scale, DType::F32)?;
    let zero = match zero {
        // As the codes.
        Some(zero) if in_blocks && b.packed(zero).is_some() => {
            if codes(b, zero) != Some((code, if turn { [blocks, n] } else { [n, blocks] })) {
                return None;
            }
            Some(if turn { turned(b, zero, code, [blocks, n]) } else { zero })
        }
        Some(zero) => {
            let dtype = if is_packed { DType::F32 } else { b.fact(zero).dtype? };
            Some(to_blocks(b, zero, dtype)?)
        }
        None if matches!(code, Code::Uint4 | Code::Uint8 | Code::Uint16) => {
            let len = code.zero_points_len(n, k, block);
            Some(b.constant(Tensor { dtype: DType::U8, shape: vec![n, len / n.max(1)], data: vec![0; len].into() }))
        }
        None => None,
    };
    let x = if turn { turned(b, x, code, [k, n]) } else { x };
    let y = b.emit_optional(Op::DequantizeBlocks { code, block, k }, &[Some(x), Some(scale), zero]);
    Some(if turn { transpose(b, y) } else { y })
}

/// The bytes of a matrix `[k, n]` of codes, transposed.
fn turned(b: &mut Builder<'_>, codes: ValueId, code: Code, [k, n]: [usize; 2]) -> ValueId {
    b.emit(Op::TransposeCodes { code, k, n }, &[codes])
}

fn ints(b: &mut Builder<'_>, sizes: &[usize]) -> ValueId {
    let mut all = Vec::with_capacity(sizes.len());
    sizes.iter().for_each(|&size| all.push(size as i64));
    b.ints(&all)
}

fn transpose(b: &mut Builder<'_>, x: ValueId) -> ValueId {
    b.emit(Op::Transpose { perm: vec![1, 0] }, &[x])
}

/// `(x - zero) * scale`, where `block` neighbours along an axis share scale and zero point: the axis becomes two, blocks
/// and what is in them, and one again.
fn dequantize_blocks(
    n: &mut NodeReader<'_>,
    b: &mut Builder<'_>,
    axis: i64,
    block: i64,
    [x, scale]: [ValueId; 2],
    zero: Option<ValueId>,
) -> Option<ValueId> {
    let Some(tensor) = b.tensor(x) else { return n.reject("with blocks of what is no constant") };
    let shape = tensor.shape.clone();
    let from_end = if axis < 0 { axis.saturating_add(shape.len() as i64) } else { axis };
    let position = usize::try_from(from_end).ok().filter(|&axis| axis < shape.len());
    let block = usize::try_from(block).unwrap_or(0);
    let Some(axis) = position.filter(|&axis| block > 0 && shape[axis].is_multiple_of(block)) else {
        return n.reject("with blocks that do not fill the axis");
    };
    let mut split = shape.clone();
    split[axis] /= block;
    split.insert(axis + 1, block);

    let (whole, split) = (ints(b, &shape), ints(b, &split));
    let within = [from_end + 1];
    let reshape = |b: &mut Builder<'_>, x, shape| b.emit(Op::Reshape { allow_zero: true }, &[x, shape]);
    let mut y = reshape(b, x, split);
    y = b.cast(y, DType::F32);
    if let Some(zero) = zero {
        let zero = b.cast(zero, DType::F32);
        let zero = b.unsqueeze(zero, &within);
        y = b.binary(Binary::Sub, y, zero);
    }
    let scale = b.unsqueeze(scale, &within);
    y = b.binary(Binary::Mul, y, scale);
    Some(reshape(b, y, whole))
}
