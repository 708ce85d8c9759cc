//! The ONNX messages, as far as they are read.
//!
//! ONNX files are protobuf. The structs below name the fields in use and their numbers (from the ONNX specification,
//! `onnx.proto`); everything else in a file is skipped. `feed` fills them through [`Fields`], for which a page pays 3 KB less
//! than for prost's decoder; tests hold it to that one.
//!
//! Optional scalars are `Option` only where absence means something else than zero.

use prost::Message;

/// Where the values of a field go.
pub(crate) enum Slot<'a> {
    Int32(&'a mut i32),
    Int64(&'a mut i64),
    Float(&'a mut f32),
    Text(&'a mut String),
    Bytes(&'a mut Vec<u8>),
    Int32s(&'a mut Vec<i32>),
    Int64s(&'a mut Vec<i64>),
    Uint64s(&'a mut Vec<u64>),
    Floats(&'a mut Vec<f32>),
    Doubles(&'a mut Vec<f64>),
    Message(&'a mut dyn Fields),
}

/// A message by the numbers of its fields.
pub(crate) trait Fields {
    /// The field of this number, unless it is one to be skipped. Of a list of messages or texts it is the last one, or a
    /// `new` one.
    fn field(&mut self, number: u32, new: bool) -> Option<Slot<'_>>;
}

/// What a field can be.
trait Field: Default {
    fn slot(&mut self, new: bool) -> Slot<'_>;
}

macro_rules! slots {
    ($($variant:ident $type:ty,)*) => {
        $(impl Field for $type {
            fn slot(&mut self, _new: bool) -> Slot<'_> {
                Slot::$variant(self)
            }
        })*
    };
}

slots! {
    Int32 i32, Int64 i64, Float f32, Text String, Bytes Vec<u8>,
    Int32s Vec<i32>, Int64s Vec<i64>, Uint64s Vec<u64>, Floats Vec<f32>, Doubles Vec<f64>,
}

impl<F: Field> Field for Option<F> {
    fn slot(&mut self, new: bool) -> Slot<'_> {
        self.get_or_insert_default().slot(new)
    }
}

impl<F: Field> Field for Box<F> {
    fn slot(&mut self, new: bool) -> Slot<'_> {
        (**self).slot(new)
    }
}

/// A list of one value after the other.
impl<F: Field + Single> Field for Vec<F> {
    fn slot(&mut self, new: bool) -> Slot<'_> {
        if new || self.is_empty() {
            self.push(F::default());
        }
        let last = self.len() - 1;
        self[last].slot(new)
    }
}

/// What has no packed lists.
trait Single {}
impl Single for String {}

/// The messages, for prost and for [`Fields`].
macro_rules! messages {
    ($(
        $(#[doc = $doc:literal])*
        struct $name:ident {
            $($(#[doc = $field_doc:literal])* #[prost(tag = $tag:literal, $($kind:tt)*)] $field:ident: $type:ty,)*
        }
    )*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, PartialEq, Message)]
            pub(crate) struct $name {
                $($(#[doc = $field_doc])* #[prost($($kind)*, tag = $tag)] pub $field: $type,)*
            }

            impl Fields for $name {
                fn field(&mut self, number: u32, new: bool) -> Option<Slot<'_>> {
                    Some(match number {
                        $($tag => self.$field.slot(new),)*
                        _ => return None,
                    })
                }
            }

            impl Field for $name {
                fn slot(&mut self, _new: bool) -> Slot<'_> {
                    Slot::Message(self)
                }
            }

            impl Single for $name {}
        )*
    };
}

messages! {
    /// A whole file.
    struct ModelProto {
        #[prost(tag = 1, int64)]
        ir_version: i64,
        #[prost(tag = 2, string)]
        producer_name: String,
        #[prost(tag = 3, string)]
        producer_version: String,
        #[prost(tag = 7, message, optional)]
        graph: Option<GraphProto>,
        #[prost(tag = 8, message, repeated)]
        opset_import: Vec<OperatorSetId>,
    }

    /// One operator set that the model uses, and its version.
    struct OperatorSetId {
        #[prost(tag = 1, string)]
        domain: String,
        #[prost(tag = 2, int64)]
        version: i64,
    }

    struct GraphProto {
        #[prost(tag = 1, message, repeated)]
        node: Vec<NodeProto>,
        #[prost(tag = 5, message, repeated)]
        initializer: Vec<TensorProto>,
        #[prost(tag = 11, message, repeated)]
        input: Vec<ValueInfoProto>,
        #[prost(tag = 12, message, repeated)]
        output: Vec<ValueInfoProto>,
        #[prost(tag = 13, message, repeated)]
        value_info: Vec<ValueInfoProto>,
    }

    struct NodeProto {
        #[prost(tag = 1, string, repeated)]
        input: Vec<String>,
        #[prost(tag = 2, string, repeated)]
        output: Vec<String>,
        #[prost(tag = 3, string)]
        name: String,
        #[prost(tag = 4, string)]
        op_type: String,
        #[prost(tag = 5, message, repeated)]
        attribute: Vec<AttributeProto>,
        #[prost(tag = 7, string)]
        domain: String,
    }

    /// An attribute; `kind` says which of the other fields holds it. Old writers leave `kind` out, and some leave out a
    /// field that is zero.
    struct AttributeProto {
        #[prost(tag = 1, string)]
        name: String,
        #[prost(tag = 2, float, optional)]
        f: Option<f32>,
        #[prost(tag = 3, int64, optional)]
        i: Option<i64>,
        #[prost(tag = 4, bytes = "vec", optional)]
        s: Option<Vec<u8>>,
        #[prost(tag = 5, message, optional)]
        t: Option<TensorProto>,
        #[prost(tag = 6, message, optional, boxed)]
        g: Option<Box<GraphProto>>,
        #[prost(tag = 7, float, repeated)]
        floats: Vec<f32>,
        #[prost(tag = 8, int64, repeated)]
        ints: Vec<i64>,
        #[prost(tag = 20, int32)]
        kind: i32,
    }

    /// A tensor. The elements are in `raw_data`, in the typed field for their type, or in a file of their own.
    struct TensorProto {
        #[prost(tag = 1, int64, repeated)]
        dims: Vec<i64>,
        #[prost(tag = 2, int32)]
        data_type: i32,
        #[prost(tag = 4, float, repeated)]
        float_data: Vec<f32>,
        #[prost(tag = 5, int32, repeated)]
        int32_data: Vec<i32>,
        #[prost(tag = 7, int64, repeated)]
        int64_data: Vec<i64>,
        #[prost(tag = 8, string)]
        name: String,
        #[prost(tag = 9, bytes = "vec", optional)]
        raw_data: Option<Vec<u8>>,
        #[prost(tag = 10, double, repeated)]
        double_data: Vec<f64>,
        #[prost(tag = 11, uint64, repeated)]
        uint64_data: Vec<u64>,
        #[prost(tag = 13, message, repeated)]
        external_data: Vec<StringStringEntry>,
        /// 0: here. 1: in the file that `external_data` names.
        #[prost(tag = 14, int32)]
        data_location: i32,
    }

    struct StringStringEntry {
        #[prost(tag = 1, string)]
        key: String,
        #[prost(tag = 2, string)]
        value: String,
    }

    struct ValueInfoProto {
        #[prost(tag = 1, string)]
        name: String,
        #[prost(tag = 2, message, optional)]
        r#type: Option<TypeProto>,
    }

    /// The type of a value. Sequences, maps and optionals show as no tensor type.
    struct TypeProto {
        #[prost(tag = 1, message, optional)]
        tensor_type: Option<TensorTypeProto>,
    }

    struct TensorTypeProto {
        #[prost(tag = 1, int32)]
        elem_type: i32,
        #[prost(tag = 2, message, optional)]
        shape: Option<TensorShapeProto>,
    }

    struct TensorShapeProto {
        #[prost(tag = 1, message, repeated)]
        dim: Vec<DimensionProto>,
    }

    struct DimensionProto {
        #[prost(tag = 1, int64, optional)]
        dim_value: Option<i64>,
        #[prost(tag = 2, string, optional)]
        dim_param: Option<String>,
    }
}

/// Values of [`AttributeProto::kind`].
pub(crate) mod attribute_kind {
    pub const UNDEFINED: i32 = 0;
    pub const FLOAT: i32 = 1;
    pub const INT: i32 = 2;
    pub const STRING: i32 = 3;
    pub const TENSOR: i32 = 4;
    pub const FLOATS: i32 = 6;
    pub const INTS: i32 = 7;
}

impl TensorProto {
    /// Numbers of fields, of which no other message has the second with the same type.
    pub const DATA_TYPE: u32 = 2;
    pub const RAW_DATA: u32 = 9;
}

impl NodeProto {
    /// What to call the node in messages: nameless ones go by their first output.
    pub fn label(&self) -> &str {
        match self.output.first() {
            Some(output) if self.name.is_empty() => output,
            _ => &self.name,
        }
    }
}

impl ValueInfoProto {
    /// Element type and shape, if it is a tensor.
    pub fn tensor(&self) -> Option<&TensorTypeProto> {
        self.r#type.as_ref()?.tensor_type.as_ref()
    }
}

/// Element types, as `TensorProto.DataType` numbers them.
pub(crate) mod data_type {
    pub const FLOAT: i32 = 1;
    pub const UINT8: i32 = 2;
    pub const INT8: i32 = 3;
    pub const UINT16: i32 = 4;
    pub const INT16: i32 = 5;
    pub const INT32: i32 = 6;
    pub const INT64: i32 = 7;
    pub const BOOL: i32 = 9;
    pub const FLOAT16: i32 = 10;
    pub const DOUBLE: i32 = 11;
    pub const UINT32: i32 = 12;
    pub const UINT64: i32 = 13;
    pub const BFLOAT16: i32 = 16;
    pub const UINT4: i32 = 21;
    pub const INT4: i32 = 22;

    /// Name as ONNX writes it, for messages.
    pub fn name(code: i32) -> &'static str {
        match code {
            FLOAT => "float",
            UINT8 => "uint8",
            INT8 => "int8",
            UINT16 => "uint16",
            INT16 => "int16",
            INT32 => "int32",
            INT64 => "int64",
            8 => "string",
            BOOL => "bool",
            FLOAT16 => "float16",
            DOUBLE => "double",
            UINT32 => "uint32",
            UINT64 => "uint64",
            14 => "complex64",
            15 => "complex128",
            BFLOAT16 => "bfloat16",
            17 => "float8e4m3fn",
            18 => "float8e4m3fnuz",
            19 => "float8e5m2",
            20 => "float8e5m2fnuz",
            UINT4 => "uint4",
            INT4 => "int4",
            23 => "float4e2m1",
            _ => "an unknown type",
        }
    }
}
