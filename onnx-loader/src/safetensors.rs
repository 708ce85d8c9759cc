//! Weights in safetensors files, found by name.
//!
//! Such a file is its header's length, the header (JSON: each tensor's type, shape and place), and the tensors. An
//! initializer whose location is one, with no offset, is the tensor of the initializer's name; type and shape must be
//! the same as in the model. (With an offset, the file is taken as bytes, as any other.)
//!
//! The header is read by the crate `safetensors`, unless [`ExternalData::safetensors`] says otherwise. Only its header is
//! given to the crate: what it says about the rest of a file adds up numbers out of that file, unchecked.

use crate::external::ExternalData;
use crate::proto::{TensorProto, data_type};
use crate::tensor::dims;

/// What a safetensors header says of a tensor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// Its element type as the header spells it, such as `F32`.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Where its bytes begin and end, counted from the end of the header.
    pub data_offsets: [u64; 2],
}

/// The limit that writers of this format keep to.
const MAX_HEADER: u64 = 100_000_000;

/// The headers read so far.
#[derive(Default)]
pub(crate) struct Headers(Vec<Header>);

struct Header {
    location: String,
    tensors: Vec<StoredTensor>,
    /// Where the tensors begin.
    start: u64,
}

impl Headers {
    /// Offset and length of a tensor in the file at `location`, which has `held` bytes.
    pub fn find(
        &mut self,
        source: &dyn ExternalData,
        location: &str,
        held: u64,
        tensor: &TensorProto,
    ) -> Result<(u64, u64), String> {
        let index = match self.0.iter().position(|header| header.location == location) {
            Some(index) => index,
            None => {
                self.0.push(read(source, location, held)?);
                self.0.len() - 1
            }
        };
        let Header { tensors, start, .. } = &self.0[index];
        let stored = tensors.iter().find(|stored| stored.name == tensor.name);
        let Some(StoredTensor { dtype, shape, data_offsets: [begin, end], .. }) = stored else {
            return Err("it has no tensor of this name".into());
        };
        if name(tensor.data_type) != dtype {
            let wanted = data_type::name(tensor.data_type);
            return Err(format!("its elements are {dtype} there, and {wanted} in the model"));
        }
        let is_same = tensor.dims.iter().zip(shape).all(|(&dim, &stored)| dim as u64 == stored);
        if !is_same || tensor.dims.len() != shape.len() {
            return Err(format!("its shape is {} there, and {} in the model", dims(shape), dims(&tensor.dims)));
        }
        match (start.checked_add(*begin), end.checked_sub(*begin)) {
            (Some(offset), Some(length)) => Ok((offset, length)),
            _ => Err(format!("it is damaged: this tensor would be at {begin} to {end}")),
        }
    }
}

fn read(source: &dyn ExternalData, location: &str, held: u64) -> Result<Header, String> {
    let damaged = |problem: String| format!("it is no safetensors file, or damaged: {problem}");
    if held < 8 {
        return Err(damaged(format!("it has {held} bytes")));
    }
    let length = source.read(location, 0, 8)?;
    let length = length.as_ref().try_into().map_or(u64::MAX, u64::from_le_bytes);
    if length > MAX_HEADER.min(held - 8) {
        return Err(damaged(format!("it has {held} bytes, its header {length}")));
    }
    let header = source.read(location, 8, length as usize)?;
    let tensors = source.safetensors(&header).map_err(damaged)?;
    Ok(Header { location: location.into(), tensors, start: 8 + length })
}

/// Reads a header.
#[cfg(feature = "safetensors")]
pub(crate) fn parse(header: &[u8]) -> Result<Vec<StoredTensor>, String> {
    let header: safetensors::tensor::Metadata = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    let stored = header.tensors().into_iter().map(|(name, info)| StoredTensor {
        name,
        dtype: info.dtype.to_string(),
        shape: info.shape.iter().map(|&dim| dim as u64).collect(),
        data_offsets: [info.data_offsets.0 as u64, info.data_offsets.1 as u64],
    });
    Ok(stored.collect())
}

/// The name in safetensors files of an ONNX type.
fn name(code: i32) -> &'static str {
    match code {
        data_type::FLOAT => "F32",
        data_type::FLOAT16 => "F16",
        data_type::BFLOAT16 => "BF16",
        data_type::DOUBLE => "F64",
        data_type::INT64 => "I64",
        data_type::INT32 => "I32",
        data_type::INT16 => "I16",
        data_type::INT8 => "I8",
        data_type::UINT64 => "U64",
        data_type::UINT32 => "U32",
        data_type::UINT16 => "U16",
        data_type::UINT8 => "U8",
        data_type::BOOL => "BOOL",
        _ => "",
    }
}
