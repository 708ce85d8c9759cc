//! Tensors as the outside hands them over and gets them back: borrowed slices with a shape.

use crate::ir::DType;

/// Borrowed elements in row-major order.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Data<'a> {
    F32(&'a [f32]),
    I64(&'a [i64]),
    I32(&'a [i32]),
    U8(&'a [u8]),
    I8(&'a [i8]),
    /// 0 or 1.
    Bool(&'a [u8]),
}

impl<'a> Data<'a> {
    /// Bytes as the elements that they are, of a runtime type.
    pub(crate) fn new(dtype: DType, bytes: &'a [u8]) -> Data<'a> {
        match dtype {
            DType::I64 => Data::I64(bytemuck::cast_slice(bytes)),
            DType::I32 => Data::I32(bytemuck::cast_slice(bytes)),
            DType::U8 => Data::U8(bytes),
            DType::I8 => Data::I8(bytemuck::cast_slice(bytes)),
            DType::Bool => Data::Bool(bytes),
            _ => Data::F32(bytemuck::cast_slice(bytes)),
        }
    }

    /// Element `i`, of floats what is before the point.
    pub(crate) fn integer(&self, i: usize) -> i64 {
        match self {
            Data::F32(d) => d[i] as i64,
            Data::I64(d) => d[i],
            Data::I32(d) => d[i].into(),
            Data::U8(d) | Data::Bool(d) => d[i].into(),
            Data::I8(d) => d[i].into(),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Data::F32(_) => DType::F32,
            Data::I64(_) => DType::I64,
            Data::I32(_) => DType::I32,
            Data::U8(_) => DType::U8,
            Data::I8(_) => DType::I8,
            Data::Bool(_) => DType::Bool,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(d) => d.len(),
            Data::I64(d) => d.len(),
            Data::I32(d) => d.len(),
            Data::U8(d) | Data::Bool(d) => d.len(),
            Data::I8(d) => d.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, if they are f32.
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        match self {
            Data::F32(d) => Some(d),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        match self {
            Data::F32(d) => bytemuck::cast_slice(d),
            Data::I64(d) => bytemuck::cast_slice(d),
            Data::I32(d) => bytemuck::cast_slice(d),
            Data::U8(d) | Data::Bool(d) => d,
            Data::I8(d) => bytemuck::cast_slice(d),
        }
    }
}

/// Elements to be written, whatever their type.
pub(crate) struct Elements<'a> {
    dtype: DType,
    bytes: &'a mut [u8],
}

impl<'a> Elements<'a> {
    /// Bytes as the elements that they are, of a runtime type.
    pub fn new(dtype: DType, bytes: &'a mut [u8]) -> Elements<'a> {
        Elements { dtype, bytes }
    }

    /// Sets the bits of element `i` to the lowest of `value`.
    pub fn set(&mut self, i: usize, value: i64) {
        match self.dtype.size() {
            8 => bytemuck::cast_slice_mut(self.bytes)[i] = value,
            4 => bytemuck::cast_slice_mut(self.bytes)[i] = value as i32,
            _ => self.bytes[i] = value as u8,
        }
    }

    /// Sets element `i` to `value`.
    pub fn set_number(&mut self, i: usize, value: i64) {
        self.set(i, if self.dtype == DType::F32 { (value as f32).to_bits().into() } else { value });
    }
}

/// Elements with their shape.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TensorView<'a> {
    /// Dimensions; empty for a scalar.
    pub shape: &'a [usize],
    /// `shape.product()` elements.
    pub data: Data<'a>,
}
