//! `TensorProto` to [`Tensor`].
//!
//! A file holds elements in one of three places: raw little-endian bytes (the common case, taken without a copy from `feed`), the
//! typed field of the element's type, or a file beside the model. All are brought to raw bytes and held against the
//! dimensions, so what is allocated for a tensor is in proportion to the data that came with it. Types that nothing
//! computes in are widened or narrowed here once: 16-bit and unsigned integers to i64, f64 to f32, 4-bit integers to bytes.
//! Matrices of 4-bit and 16-bit integers, which are weights, stay as they are stored, and so do half floats.
//!
//! Targets are little-endian, as WebAssembly is: elements in memory have the byte order of the file.

use crate::error::{LoadError, Reason, Reject};
use crate::external::ExternalFiles;
use crate::proto::{TensorProto, data_type};
use bytes::Bytes;
use fourlane_graph::ir::{DType, Tensor};

/// The type that elements of an ONNX type are kept in.
pub(crate) fn dtype(code: i32) -> Option<DType> {
    Some(match code {
        data_type::FLOAT | data_type::DOUBLE => DType::F32,
        data_type::FLOAT16 => DType::F16,
        data_type::BFLOAT16 => DType::BF16,
        data_type::INT64 | data_type::INT16 | data_type::UINT16 | data_type::UINT32 | data_type::UINT64 => DType::I64,
        data_type::INT32 => DType::I32,
        data_type::UINT8 | data_type::UINT4 => DType::U8,
        data_type::INT8 | data_type::INT4 => DType::I8,
        data_type::BOOL => DType::Bool,
        _ => return None,
    })
}

/// Bytes of one element in the file; of 4 bits, two are in one.
fn stored_size(code: i32) -> usize {
    match code {
        data_type::INT64 | data_type::UINT64 | data_type::DOUBLE => 8,
        data_type::FLOAT | data_type::INT32 | data_type::UINT32 => 4,
        data_type::INT16 | data_type::UINT16 | data_type::FLOAT16 | data_type::BFLOAT16 => 2,
        _ => 1,
    }
}

/// Checks a tensor and makes it a constant, to which the bytes go that are in the message.
pub(crate) fn decode(proto: &mut TensorProto, files: &mut ExternalFiles<'_>) -> Result<Tensor, Reject> {
    let code = proto.data_type;
    let Some(dtype) = dtype(code) else {
        return Err(Reason::Elements { dtype: data_type::name(code), tensor: proto.name.clone() }.into());
    };
    let name = proto.name.clone();
    let error = |problem: String| LoadError::Tensor { tensor: name.clone(), problem };

    let mut shape = Vec::with_capacity(proto.dims.len());
    for &dim in &proto.dims {
        shape.push(usize::try_from(dim).map_err(|_| error(format!("has a dimension of {dim}")))?);
    }
    // The product over the nonzero dimensions: zeros must not hide an overflow that some order of multiplying has.
    let nonzero = shape.iter().filter(|&&dim| dim > 0).try_fold(stored_size(code), |n, &dim| n.checked_mul(dim));
    let Some(nonzero) = nonzero else {
        return Err(error(format!("has more elements than fit in memory: {}", dims(&shape))).into());
    };
    let is_half_byte = matches!(code, data_type::INT4 | data_type::UINT4);
    let size = match shape.contains(&0) {
        true => 0,
        false if is_half_byte => nonzero.div_ceil(2),
        false => nonzero,
    };

    let data = if proto.data_location == 1 { files.read(proto, size)? } else { inline(proto) };
    if data.len() != size {
        let (held, elements, shape) = (data.len(), data_type::name(code), dims(&shape));
        let problem = format!("holds {held} bytes where {shape} of {elements} need {size}");
        return Err(error(problem).into());
    }
    if let ([rows, _], Some(width)) = (&shape[..], packed_width(code, &proto.dims)) {
        return Ok(Tensor { dtype: DType::U8, shape: vec![*rows, width], data });
    }
    let data = match code {
        data_type::DOUBLE => each(&data, 8, &|element, floats| {
            let float = element.try_into().map_or(0.0, f64::from_le_bytes) as f32;
            floats.extend_from_slice(&float.to_le_bytes());
        }),
        data_type::INT16 => widen(&data, 2, true),
        data_type::UINT16 => widen(&data, 2, false),
        data_type::UINT32 => widen(&data, 4, false),
        data_type::INT4 | data_type::UINT4 => {
            unpack(&data, if size > 0 { nonzero } else { 0 }, code == data_type::INT4)
        }
        data_type::UINT64 if data.chunks_exact(8).any(|v| v[7] > 0x7f) => {
            return Err(error("holds a number above the range of int64".into()).into());
        }
        data_type::BOOL => each(&data, 1, &|element, flags| flags.push(u8::from(element[0] != 0))),
        _ => data,
    };
    Ok(Tensor { dtype, shape, data })
}

/// The elements as raw bytes, whichever field they are in.
fn inline(proto: &mut TensorProto) -> Bytes {
    if let Some(raw) = proto.raw_data.take() {
        return raw.into();
    }
    let size = stored_size(proto.data_type);
    match proto.data_type {
        data_type::FLOAT => pack(bytemuck::cast_slice(&proto.float_data), 4, size),
        data_type::DOUBLE => pack(bytemuck::cast_slice(&proto.double_data), 8, size),
        data_type::INT64 => pack(bytemuck::cast_slice(&proto.int64_data), 8, size),
        data_type::UINT32 | data_type::UINT64 => pack(bytemuck::cast_slice(&proto.uint64_data), 8, size),
        // All narrow types, half floats by their bits, are in the low bytes of an i32.
        _ => pack(bytemuck::cast_slice(&proto.int32_data), 4, size),
    }
}

/// The `size` low bytes of each element of `stride` bytes.
fn pack(elements: &[u8], stride: usize, size: usize) -> Bytes {
    if stride == size {
        return Bytes::copy_from_slice(elements);
    }
    each(elements, stride, &|element, packed| packed.extend_from_slice(&element[..size]))
}

/// What `convert` appends for each element of `size` bytes.
fn each(elements: &[u8], size: usize, convert: &dyn Fn(&[u8], &mut Vec<u8>)) -> Bytes {
    let mut converted = Vec::with_capacity(elements.len());
    for element in elements.chunks_exact(size) {
        convert(element, &mut converted);
    }
    converted.into()
}

/// Integers of `size` bytes as i64.
pub(crate) fn widen(elements: &[u8], size: usize, signed: bool) -> Bytes {
    each(elements, size, &|element, wide| {
        let negative = signed && element[size - 1] > 0x7f;
        wide.extend_from_slice(element);
        wide.resize(wide.len() + 8 - size, if negative { 0xff } else { 0 });
    })
}

/// Bytes of a row of what stays as it is in the file: a matrix of 4-bit or 16-bit integers whose rows are whole bytes.
pub(crate) fn packed_width(code: i32, dims: &[i64]) -> Option<usize> {
    let &[_, cols] = dims else { return None };
    let cols = usize::try_from(cols).ok()?;
    match code {
        data_type::INT4 | data_type::UINT4 if cols % 2 == 0 => Some(cols / 2),
        data_type::INT16 | data_type::UINT16 => cols.checked_mul(2),
        _ => None,
    }
}

/// `count` integers of 4 bits as bytes; the first of two is in the low half.
pub(crate) fn unpack(pairs: &[u8], count: usize, signed: bool) -> Bytes {
    each(&pairs[..count.div_ceil(2)], 1, &|pair, bytes| {
        let pair = pair[0];
        bytes.extend(if signed { [pair << 4, pair].map(|b| ((b as i8) >> 4) as u8) } else { [pair & 15, pair >> 4] });
    })
    .slice(..count)
}

/// `[2, 3]`, without the machinery of `Debug`.
pub(crate) fn dims(shape: &[impl ToString]) -> String {
    let mut text = String::from("[");
    for (i, dim) in shape.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        text.push_str(&dim.to_string());
    }
    text + "]"
}
