//! ONNX bytes to a [`Model`].
//!
//! The only crate that knows what protobuf and ONNX look like. A file goes through four rooms: `proto` (the messages,
//! with tensor bytes left where they are), `names` (who makes what, in which order), `convert` with `ops` (each
//! operator's forms over the opsets, and onnxruntime's fused operators taken apart, to one IR form) and `tensor`
//! (constants).
//!
//! A file is not trusted: every length, offset, dimension and type is checked before use, and nothing panics. What is
//! not understood, be it an operator, an attribute or an input, is refused rather than ignored, and all such operators
//! are reported at once.
//!
//! ```
//! use fourlane_onnx::{LoadError, NoExternalData, load};
//!
//! let error = load(b"not a model".as_slice().into(), &NoExternalData).unwrap_err();
//! assert!(matches!(error, LoadError::NotOnnx(_)));
//! ```

#![forbid(unsafe_code)]

mod builder;
mod convert;
mod error;
mod external;
mod names;
mod ops;
mod proto;
mod reader;
mod summary;
mod tensor;
#[cfg(test)]
mod tests;

pub use error::{LoadError, UnsupportedOperator};
pub use external::{ExternalData, Folder, NoExternalData};
pub use summary::{Summary, Weights, summarize};

use bytes::Bytes;
use fourlane_graph::ir::Model;
use prost::Message;

/// Reads a model. Constants are slices of `model` (and of the external files) wherever their type allows.
///
/// # Errors
///
/// [`LoadError`], one sentence for people.
pub fn load(model: Bytes, external: &dyn ExternalData) -> Result<Model, LoadError> {
    convert::convert(proto::ModelProto::decode(model)?, external)
}
