//! Transformer text classification: a tokenizer, a pipeline, and the exports of the WebAssembly module.
//!
//! A [`TextClassifier`] is made from the files that a model has on the Hugging Face hub: `model.onnx`, `tokenizer.json`
//! (or `vocab.txt`), `config.json`. It takes texts and gives labels with scores:
//!
//! ```no_run
//! use fourlane::{Files, Options, TextClassifier};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut classifier = TextClassifier::new(
//!     std::fs::read("model/onnx/model_quantized.onnx")?.into(),
//!     &Files {
//!         tokenizer: Some(&std::fs::read("model/tokenizer.json")?),
//!         config: Some(&std::fs::read("model/config.json")?),
//!         ..Files::default()
//!     },
//! )?;
//! for labels in classifier.classify(&["A gem.", "Two hours of my life."], &Options::default())? {
//!     println!("{} {:.3}", labels[0].label, labels[0].score);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Text goes through [`Tokenizer`] (exactly as in the Hugging Face `tokenizers` library), the tokens through a
//! [`fourlane_graph::Session`], its output through a softmax. In a page the same goes through the npm package, whose
//! JavaScript calls the exports of this crate.

mod config;
mod error;
mod feeds;
mod json;
mod pipeline;
#[cfg(any(test, all(target_arch = "wasm32", target_os = "unknown")))]
mod safetensors;
#[cfg(all(feature = "threads", target_arch = "wasm32", target_os = "unknown"))]
mod threads;
mod tokenizer;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod wasm;

pub use config::{ModelConfig, Problem};
pub use error::Error;
pub use fourlane_graph::Options as SessionOptions;
pub use json::JsonError;
pub use pipeline::{Files, Label, Options, TextClassifier};
pub use tokenizer::{Encoding, Tokenizer, TokenizerConfig, TokenizerError};
