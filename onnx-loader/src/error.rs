//! Why a file does not become a model.
//!
//! Each message is one sentence that says what is wrong, where, and what would work. Operators are the exception to
//! "the first error wins": they are collected over the whole file, because a person who converts a model wants the
//! whole list, not one item per attempt.

use std::fmt;

/// Why [`load`](crate::load) refused a file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are not protobuf, or not of this shape.
    #[error("this is not an ONNX file: {0}")]
    NotOnnx(&'static str),
    /// The file cannot be read.
    #[error("{path} cannot be read: {problem}")]
    #[allow(missing_docs)]
    Unreadable { path: String, problem: String },
    /// There is not so much memory.
    #[error("there is no memory for a tensor of {bytes} bytes")]
    #[allow(missing_docs)]
    OutOfMemory { bytes: u64 },
    /// A tensor's type, dimensions and data do not fit each other.
    #[error("tensor '{tensor}' {problem}")]
    #[allow(missing_docs)]
    Tensor { tensor: String, problem: String },
    /// Tensor data is in another file, which could not be used.
    #[error("tensor '{tensor}' is in the file '{location}' beside the model: {problem}")]
    #[allow(missing_docs)]
    ExternalData { tensor: String, location: String, problem: String },
    /// A model input or output that cannot be offered to the outside.
    #[error("model {which} '{name}' {problem}")]
    #[allow(missing_docs)]
    Port { which: &'static str, name: String, problem: String },
    /// A node or a model output reads a value that nothing makes.
    #[error("{reader} reads '{value}', which is no model input, no initializer and no node's output")]
    #[allow(missing_docs)]
    MissingValue { reader: String, value: String },
    /// Names of values must be unique.
    #[error("value '{0}' is made twice; every input, initializer and node output needs a name of its own")]
    DuplicateValue(String),
    /// The nodes cannot be ordered.
    #[error("node '{0}' needs its own output: the graph has a cycle")]
    Cycle(String),
    /// All operators, or forms of them, that have no counterpart here.
    #[error("{}", list(.0))]
    UnsupportedOperators(Vec<UnsupportedOperator>),
}

/// An operator, or a form of one, that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedOperator {
    /// `Loop`, `com.microsoft:GroupQueryAttention`.
    pub operator: String,
    /// What about it is not supported; empty if it is the operator as such.
    pub reason: String,
    /// How many nodes.
    pub count: usize,
    /// The first few of their names.
    pub nodes: Vec<String>,
}

impl LoadError {
    /// What exactly broke in the bytes helps nobody, and its text would be paid for in every build.
    pub(crate) const CUT_OR_NO_PROTOBUF: LoadError =
        LoadError::NotOnnx("its bytes are no protobuf message, or end too early, as of a download that was cut short");
}

impl From<prost::DecodeError> for LoadError {
    fn from(_: prost::DecodeError) -> Self {
        LoadError::CUT_OR_NO_PROTOBUF
    }
}

impl UnsupportedOperator {
    /// How many node names are kept.
    pub(crate) const NAMES: usize = 3;
}

impl fmt::Display for UnsupportedOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operator)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        write!(f, " in {} node", self.count)?;
        f.write_str(if self.count == 1 { " '" } else { "s '" })?;
        for (i, name) in self.nodes.iter().enumerate() {
            if i > 0 {
                f.write_str("', '")?;
            }
            f.write_str(name)?;
        }
        f.write_str(if self.count > self.nodes.len() { "', ..." } else { "'" })
    }
}

fn list(operators: &[UnsupportedOperator]) -> String {
    let mut text = String::from("the model needs what is not supported: ");
    for (i, operator) in operators.iter().enumerate() {
        if i > 0 {
            text.push_str("; ");
        }
        text.push_str(&operator.to_string());
    }
    text
}

/// Why one node cannot be converted. Boxed, because every `?` of every converter passes one on.
pub(crate) struct Reject(Box<Reason>);

/// What a [`Reject`] says.
pub(crate) enum Reason {
    /// The operator as such does not exist here.
    Operator,
    /// A form of it does not.
    Form(String),
    /// A constant is of a type that does not.
    Elements { dtype: &'static str, tensor: String },
    /// Something about a value would have to be known. Not reported when an earlier rejection is the cause.
    Unknown(&'static str),
    /// The file is broken: nothing more is to be learned from it.
    Broken(LoadError),
}

impl Reject {
    pub fn reason(self) -> Reason {
        *self.0
    }
}

impl From<Reason> for Reject {
    #[cold]
    fn from(reason: Reason) -> Self {
        Reject(Box::new(reason))
    }
}

impl From<LoadError> for Reject {
    #[cold]
    fn from(error: LoadError) -> Self {
        Reason::Broken(error).into()
    }
}

impl From<&'static str> for Reject {
    #[cold]
    fn from(reason: &'static str) -> Self {
        Reason::Form(reason.into()).into()
    }
}

impl From<String> for Reject {
    #[cold]
    fn from(reason: String) -> Self {
        Reason::Form(reason).into()
    }
}
