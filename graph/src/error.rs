//! What can go wrong with a model or a call. Every message is one sentence: what, where, what would work.

use thiserror::Error;

/// Why a model cannot be prepared or a call cannot be answered. The session stays usable after any of them.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Error {
    /// The model's graph contradicts itself or asks for something that has no meaning.
    #[error("the model is not valid at node '{node}': {reason}")]
    InvalidModel {
        /// Name of the node in the file.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// The model is valid, but uses an operator in a way that is not implemented.
    #[error("the model is not supported at node '{node}': {reason}")]
    Unsupported {
        /// Name of the node in the file.
        node: String,
        /// What is not supported.
        reason: String,
    },
    /// A call names an input that the model does not have.
    #[error("the model has no input '{name}'; its inputs are {known}")]
    UnknownInput {
        /// Name in the call.
        name: String,
        /// The model's inputs.
        known: String,
    },
    /// A call leaves an input out.
    #[error("input '{name}' is missing; the model's inputs are {known}")]
    MissingInput {
        /// The input.
        name: String,
        /// The model's inputs.
        known: String,
    },
    /// An input has the wrong element type.
    #[error("input '{name}' is {given}, but the model wants {wanted}")]
    WrongType {
        /// The input.
        name: String,
        /// Type in the call.
        given: &'static str,
        /// Type in the model.
        wanted: &'static str,
    },
    /// An input has the wrong shape.
    #[error("input '{name}' has shape {given}, but {reason}")]
    WrongShape {
        /// The input.
        name: String,
        /// Shape in the call.
        given: String,
        /// What would work.
        reason: String,
    },
    /// A value in an input points outside a table of the model, such as a token id over the vocabulary.
    #[error("index {index} is outside the table of {rows} rows at node '{node}'")]
    IndexOutOfRange {
        /// Name of the node in the file.
        node: String,
        /// The index in the data.
        index: i64,
        /// How many rows there are.
        rows: usize,
    },
    /// A way to multiply integers was asked for in which this engine is not exact.
    #[error("integer mode '{wanted}' gives wrong sums on this engine; '{best}' is its best")]
    WrongMode {
        /// The mode in the options.
        wanted: &'static str,
        /// The mode that would be taken without the option.
        best: &'static str,
    },
    /// Threads of its own were asked for that a session cannot have.
    #[error("a session cannot have {threads} threads of its own: {reason}")]
    NoThreads {
        /// The number in the options.
        threads: usize,
        /// Why not.
        reason: String,
    },
    /// The intermediate values of this input shape do not fit in memory.
    #[error("a run of this shape needs {bytes} bytes of memory, more than there are; use fewer or shorter texts")]
    OutOfMemory {
        /// Size of the arena.
        bytes: u64,
    },
}

/// What functions of this crate fail with: a pointer, which each of the many that only hand it on moves in one piece.
pub(crate) type Failure = Box<Error>;

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        *failure
    }
}

impl Error {
    #[cold]
    pub(crate) fn invalid(node: &str, reason: impl Into<String>) -> Failure {
        Error::InvalidModel { node: node.into(), reason: reason.into() }.into()
    }

    #[cold]
    pub(crate) fn unsupported(node: &str, reason: impl Into<String>) -> Failure {
        Error::Unsupported { node: node.into(), reason: reason.into() }.into()
    }
}
