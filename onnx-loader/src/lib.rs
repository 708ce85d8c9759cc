//! ONNX bytes to a [`Model`].
//!
//! The only crate that knows what protobuf and ONNX look like. A file goes through five rooms: `feed` (bytes as they
//! come in), `proto` (the messages), `names` (who makes what, in which order; `branches` before it), `convert` with `ops` (each
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

mod branches;
mod builder;
mod convert;
mod error;
mod external;
mod feed;
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
pub use feed::ModelReader;
pub use safetensors::StoredTensor;
pub use summary::{Summary, Weights, summarize};

use bytes::Bytes;
use fourlane_graph::ir::Model;
use std::io::Read;
use std::path::Path;

/// Reads a model that is in memory as a whole. Where memory is scarce, [`File::open`] and [`ModelReader`] need half of it:
/// a session takes the tensors over one by one, and these hold nothing else.
///
/// # Errors
///
/// [`LoadError`], one sentence for people.
pub fn load(model: Bytes, external: &dyn ExternalData) -> Result<Model, LoadError> {
    File::decode(&model)?.load(external)
}

/// An ONNX file whose structure has been read, and nothing more: for those who must know which other files it needs
/// before they can give them.
pub struct File(proto::ModelProto);

impl File {
    /// Reads the structure. Tensors are copied.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotOnnx`] if the bytes are not an ONNX file.
    pub fn decode(bytes: &[u8]) -> Result<File, LoadError> {
        let mut reader = ModelReader::new(Some(bytes.len() as u64));
        reader.feed(bytes)?;
        reader.finish()
    }

    /// Reads the structure and the tensors from a file, piece by piece.
    ///
    /// # Errors
    ///
    /// As [`ModelReader::feed`], and [`LoadError::Unreadable`].
    pub fn open(path: &Path) -> Result<File, LoadError> {
        let unreadable = |problem: std::io::Error| LoadError::Unreadable {
            path: path.display().to_string(),
            problem: problem.to_string(),
        };
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        let mut reader = ModelReader::new(Some(file.metadata().map_err(unreadable)?.len()));
        let mut piece = vec![0; 1 << 18];
        loop {
            match file.read(&mut piece).map_err(unreadable)? {
                0 => return reader.finish(),
                length => reader.feed(&piece[..length])?,
            }
        }
    }

    /// The files beside this one that it has tensors in, each once, as [`ExternalData`] is asked for them.
    pub fn external_files(&self) -> Vec<&str> {
        let mut files = Vec::new();
        let Some(graph) = &self.0.graph else { return files };
        let mut note = |tensor| {
            if let Some(location) = external::location(tensor).filter(|location| !location.is_empty())
                && !files.contains(&location)
            {
                files.push(location);
            }
        };
        graph.initializer.iter().for_each(&mut note);
        for node in &graph.node {
            node.attribute.iter().for_each(|attribute| attribute.t.iter().for_each(&mut note));
        }
        files
    }

    /// Makes the model.
    ///
    /// # Errors
    ///
    /// As [`load`].
    pub fn load(mut self, external: &dyn ExternalData) -> Result<Model, LoadError> {
        convert::convert(&mut self.0, external)
    }
}
