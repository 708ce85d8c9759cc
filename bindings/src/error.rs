//! What can go wrong between a model's files and the labels of a text.

use crate::json::JsonError;
use crate::tokenizer::TokenizerError;
use thiserror::Error;

/// Why there is no classifier, or no answer of it. A classifier stays usable after any error.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The ONNX file is damaged, or needs what is not supported.
    #[error(transparent)]
    Load(#[from] fourlane_onnx::LoadError),
    /// The model cannot run.
    #[error(transparent)]
    Run(#[from] fourlane_graph::Error),
    /// The tokenizer is damaged, or of a kind that is not supported.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file of settings is damaged.
    #[error("{file} is not as expected: {error}")]
    File {
        /// Name of the file.
        file: &'static str,
        /// What is wrong.
        error: JsonError,
    },
    /// There is no tokenizer among the files.
    #[error("the model has no tokenizer: give tokenizer.json or vocab.txt along with it")]
    NoTokenizer,
    /// The model wants to be fed with something else than text.
    #[error(
        "the model has an input '{name}'; a text classifier has input_ids, attention_mask, token_type_ids and \
         position_ids, or some of them"
    )]
    UnknownInput {
        /// The input.
        name: String,
    },
    /// An input has a type that tokens are not of.
    #[error("the model wants input '{name}' as {found}; int64 and int32 work")]
    InputType {
        /// The input.
        name: String,
        /// Its type.
        found: &'static str,
    },
    /// An input has axes that tokens have not.
    #[error("the model's input '{name}' is not of two axes, texts and tokens")]
    InputShape {
        /// The input.
        name: String,
    },
    /// The model has other inputs, but not the main one.
    #[error("the model has no input 'input_ids', so it is no text classifier")]
    NoInputIds,
    /// None of the model's outputs has a row of numbers for each text.
    #[error("the model has no float output of two axes, texts and labels, so it is no text classifier")]
    NoLogits,
}
