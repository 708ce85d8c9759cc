//! From texts to labels: tokens, batches, the model, scores.
//!
//! Texts are taken 1,024 at a time, sorted by length and run in batches of similar length, so that thousands of texts
//! need no more memory than a few, and little of it for padding. A text's neighbours do not show in its outputs: where
//! the model has one range of quantisation for all that is in a batch, each text is run alone.

use crate::config::{ModelConfig, Problem};
use crate::error::Error;
use crate::feeds::Feeds;
use crate::tokenizer::{Encoding, Tokenizer, TokenizerConfig};
use bytes::Bytes;
use fourlane_graph::{Model, Options as SessionOptions, Session};
#[cfg(feature = "profile")]
use fourlane_graph::{Region, StepProfile};
use fourlane_onnx::NoExternalData;
use std::sync::Arc;

/// How many texts are in memory as tokens at once.
const WINDOW: usize = 1024;

// Sorting is by insertion: short as the lists are, it takes no time, while the standard library's sorts are kilobytes of
// code for each type of element.

/// The files beside a model, by their usual names; a tokenizer there must be, in one form or the other.
#[derive(Clone, Copy, Default, Debug)]
pub struct Files<'a> {
    /// `tokenizer.json`; goes before `vocab.txt`.
    pub tokenizer: Option<&'a [u8]>,
    /// `vocab.txt`
    pub vocab: Option<&'a [u8]>,
    /// `tokenizer_config.json`
    pub tokenizer_config: Option<&'a [u8]>,
    /// `config.json`; without it labels are called `LABEL_0` and so on.
    pub config: Option<&'a [u8]>,
}

/// What is asked of a classification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// How many labels per text; `None` or 0 for all. 1 by default.
    pub top_k: Option<usize>,
    /// The most tokens per text, special tokens included, if less than what the model takes.
    pub max_length: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options { top_k: Some(1), max_length: None }
    }
}

/// A label with its score.
#[derive(Clone, PartialEq, Debug)]
pub struct Label {
    /// The name.
    pub label: Arc<str>,
    /// Which of the model's outputs it is.
    pub index: usize,
    /// A probability, 0 to 1; the output itself if the model is for regression.
    pub score: f32,
}

/// Classifies texts.
///
/// Any text is a text: the empty one consists of special tokens alone, and one that is longer than the model's maximum
/// is cut off at its end.
pub struct TextClassifier {
    session: Session,
    tokenizer: Tokenizer,
    feeds: Feeds,
    labels: Vec<Arc<str>>,
    problem: Problem,
    max_length: usize,
}

impl TextClassifier {
    /// Loads a classifier from the bytes of an ONNX file and the files beside it.
    ///
    /// # Errors
    ///
    /// If a file is damaged, or of a kind that is not supported; the sentence says which and what.
    pub fn new(model: Bytes, files: &Files<'_>) -> Result<Self, Error> {
        Self::from_model(fourlane_onnx::load(model, &NoExternalData)?, files)
    }

    /// As [`TextClassifier::new`], with a model that has been loaded.
    ///
    /// # Errors
    ///
    /// As [`TextClassifier::new`].
    pub fn from_model(model: Model, files: &Files<'_>) -> Result<Self, Error> {
        Self::with_options(model, files, SessionOptions::default())
    }

    /// As [`TextClassifier::from_model`], with options of the session.
    ///
    /// # Errors
    ///
    /// As [`TextClassifier::new`].
    pub fn with_options(model: Model, files: &Files<'_>, options: SessionOptions) -> Result<Self, Error> {
        let read = |file, error| Error::File { file, error };
        // No file is as an empty one.
        let empty = b"{}";
        let config = ModelConfig::from_json(files.config.unwrap_or(empty)).map_err(|e| read("config.json", e))?;
        let tokens = TokenizerConfig::from_json(files.tokenizer_config.unwrap_or(empty));
        let tokens = tokens.map_err(|e| read("tokenizer_config.json", e))?;
        let mut tokenizer = match (files.tokenizer, files.vocab) {
            (Some(json), _) => Tokenizer::from_json(json)?,
            (None, Some(vocab)) => Tokenizer::from_vocab(vocab, &tokens)?,
            (None, None) => return Err(Error::NoTokenizer),
        };
        let pad = tokens.pad_token().and_then(|pad| tokenizer.token_to_id(pad)).or(config.pad_token_id);
        if let Some(pad) = pad {
            tokenizer.set_pad_id(pad);
        }

        let session = Session::with_options(model, options)?;
        let feeds = Feeds::new(&session)?;
        let mut max_length = usize::MAX;
        for limit in [tokens.model_max_length, config.max_positions, feeds.max_length(&session)] {
            max_length = max_length.min(limit.unwrap_or(usize::MAX));
        }
        let problem = config.problem;
        let mut classifier = TextClassifier { session, tokenizer, feeds, labels: Vec::new(), problem, max_length };
        // The model knows best how many outputs it has, and a first run shows that it can run at all.
        let count = classifier.logits(&[""])?.first().map_or(0, Vec::len);
        for index in 0..count {
            classifier.labels.push(config.label(index).into());
        }
        Ok(classifier)
    }

    /// The labels, in the order of the model's outputs.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// The most tokens of a text, special tokens included; what is longer is cut off.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The session that runs the model.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The token ids of a text as the model gets them.
    pub fn tokenize(&self, text: &str) -> Vec<i64> {
        self.tokenizer.encode(text, None, self.max_length).ids
    }

    /// The labels of each text, best first.
    ///
    /// # Errors
    ///
    /// If the model cannot run, such as when memory is short or a token is none of the model's.
    pub fn classify(&mut self, texts: &[&str], options: &Options) -> Result<Vec<Vec<Label>>, Error> {
        let logits = self.logits_within(texts, options.max_length)?;
        let count = options.top_k.filter(|&count| count > 0).unwrap_or(usize::MAX);
        let mut labels = Vec::with_capacity(logits.len());
        for logits in logits {
            labels.push(self.best(logits, count));
        }
        Ok(labels)
    }

    /// The model's outputs for each text, as they are.
    ///
    /// # Errors
    ///
    /// As [`TextClassifier::classify`].
    pub fn logits(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
        self.logits_within(texts, None)
    }

    /// Runs a text and tells `visit` of each step when it has run, as [`Session::run_profiled`] does; gives what was
    /// where in the arena.
    ///
    /// # Errors
    ///
    /// As [`TextClassifier::classify`].
    #[cfg(feature = "profile")]
    pub fn profile(
        &mut self,
        text: &str,
        clock: &dyn Fn() -> f64,
        visit: &mut dyn FnMut(StepProfile<'_>),
    ) -> Result<Vec<Region>, Error> {
        let encoding = self.tokenizer.encode(text, None, self.max_length);
        let mut regions = Vec::new();
        self.feeds.with(&[&encoding], self.tokenizer.pad_id(), &mut |inputs| {
            regions = self.session.run_profiled(inputs, clock, visit)?.regions();
            Ok(())
        })?;
        Ok(regions)
    }

    fn logits_within(&mut self, texts: &[&str], max_length: Option<usize>) -> Result<Vec<Vec<f32>>, Error> {
        let max_length = max_length.map_or(self.max_length, |max| max.min(self.max_length));
        let mut logits = vec![Vec::new(); texts.len()];
        for (texts, logits) in texts.chunks(WINDOW).zip(logits.chunks_mut(WINDOW)) {
            // Longest first: what does not fit into memory is found out at once.
            let mut rows: Vec<(usize, Encoding)> = Vec::with_capacity(texts.len());
            for (index, text) in texts.iter().enumerate() {
                let encoding = self.tokenizer.encode(text, None, max_length);
                let place = rows.partition_point(|(_, other)| other.ids.len() >= encoding.ids.len());
                rows.insert(place, (index, encoding));
            }
            let mut rest = &rows[..];
            while let Some((_, longest)) = rest.first() {
                let count = self.feeds.rows(longest.ids.len()).min(rest.len());
                let (batch, after) = rest.split_at(count);
                let mut encodings = Vec::with_capacity(count);
                batch.iter().for_each(|(_, encoding)| encodings.push(encoding));
                let outputs = self.feeds.run(&mut self.session, &encodings, self.tokenizer.pad_id())?;
                for ((index, _), output) in batch.iter().zip(outputs) {
                    logits[*index] = output;
                }
                rest = after;
            }
        }
        Ok(logits)
    }

    /// The labels with the highest scores.
    fn best(&self, mut values: Vec<f32>, count: usize) -> Vec<Label> {
        scores(&mut values, self.problem);
        let mut labels: Vec<Label> = Vec::with_capacity(values.len());
        for (index, (&score, label)) in values.iter().zip(&self.labels).enumerate() {
            let place = labels.partition_point(|other| other.score.total_cmp(&score).is_ge());
            labels.insert(place, Label { label: label.clone(), index, score });
        }
        labels.truncate(count);
        labels
    }
}

/// Makes outputs into scores.
fn scores(values: &mut [f32], problem: Problem) {
    match problem {
        Problem::Regression => {}
        Problem::SingleLabel if values.len() > 1 => {
            // Relative to the greatest, so that no power of e leaves the range.
            let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for value in values.iter_mut() {
                *value = (*value - max).exp();
                sum += *value;
            }
            for value in values.iter_mut() {
                *value /= sum;
            }
        }
        Problem::SingleLabel | Problem::MultiLabel => {
            for value in values.iter_mut() {
                *value = 1.0 / (1.0 + (-*value).exp());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(values: &[f32], problem: Problem) -> Vec<f32> {
        let mut values = values.to_vec();
        scores(&mut values, problem);
        values
    }

    #[test]
    fn softmax_of_great_and_small_outputs() {
        assert_eq!(scored(&[1000.0, 1000.0], Problem::SingleLabel), [0.5, 0.5]);
        assert_eq!(scored(&[-1000.0, 0.0], Problem::SingleLabel), [0.0, 1.0]);
        let scores = scored(&[1.0, 2.0, 3.0], Problem::SingleLabel);
        for (score, want) in scores.iter().zip([0.09003057, 0.24472847, 0.66524096]) {
            assert!((score - want).abs() < 1e-6, "{score} for {want}");
        }
    }

    #[test]
    fn sigmoid_of_each_and_of_one() {
        assert_eq!(scored(&[0.0, 100.0, -100.0], Problem::MultiLabel), [0.5, 1.0, 0.0]);
        assert_eq!(scored(&[0.0], Problem::SingleLabel), [0.5]);
        assert_eq!(scored(&[2.5, -1.0], Problem::Regression), [2.5, -1.0]);
    }
}
