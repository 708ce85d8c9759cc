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
mod safetensors;
mod summary;
mod tensor;
#[cfg(test)]
mod tests;

pub use error::{LoadError, UnsupportedOperator};
pub use external::{ExternalData, Folder, NoExternalData};
pub use safetensors::StoredTensor;
pub use summary::{Summary, Weights, summarize};

use bytes::Bytes;
use fourlane_graph::ir::Model;
use prost::Message;

/// Reads a model. Constants are slices of `model` wherever their type allows.
///
/// # Errors
///
/// [`LoadError`], one sentence for people.
pub fn load(model: Bytes, external: &dyn ExternalData) -> Result<Model, LoadError> {
    File::decode(model)?.load(external)
}

/// An ONNX file whose structure has been read, and nothing more: for those who must know which other files it needs
/// before they can give them.
pub struct File(proto::ModelProto);

impl File {
    /// Reads the structure. Tensors stay where they are, as slices of `bytes`.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotOnnx`] if the bytes are not an ONNX file.
    pub fn decode(bytes: Bytes) -> Result<File, LoadError> {
        Ok(File(proto::ModelProto::decode(bytes)?))
    }

    /// The files beside this one that it has tensors in, each once, as [`ExternalData`] is asked for them.
    pub fn external_files(&self) -> Vec<&str> {
        let mut files = Vec::new();
        let Some(graph) = &self.0.graph else { return files };
        let attributes = graph.node.iter().flat_map(|node| &node.attribute);
        let constants = attributes.filter_map(|attribute| attribute.t.as_ref());
        for location in graph.initializer.iter().chain(constants).filter_map(external::location) {
            if !location.is_empty() && !files.contains(&location) {
                files.push(location);
            }
        }
        files
    }

    /// Makes the model.
    ///
    /// # Errors
    ///
    /// As [`load`].
    pub fn load(self, external: &dyn ExternalData) -> Result<Model, LoadError> {
        convert::convert(self.0, external)
    }
}
