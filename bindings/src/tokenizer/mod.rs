//! Tokenizers: text to ids, exactly as the Hugging Face `tokenizers` library does it.
//!
//! A text passes these rooms: [`added`] cuts out tokens such as `[SEP]` that are recognised as they stand, a
//! [`normalizer`] cleans the rest (with the tables of [`unicode`]), [`words`] cuts it into words, a [`model`] makes these
//! into ids of pieces of its [`vocab`], and a [`template`] puts special tokens around. [`load`] reads all of that from
//! files.
//!
//! BERT's tokenizer is always there: [`bert`] normalizes, [`wordpiece`] is the model. Cargo features add what others have,
//! so that only those pay for it who want it: `bpe` byte-level BPE, `unigram` SentencePiece's Unigram.
//!
//! A text of any length takes time in proportion to it, and one that is cut off takes only the time for what remains; with
//! another normalizer than BERT's, also that of normalizing the rest.

mod added;
mod bert;
#[cfg(feature = "bpe")]
mod bpe;
#[cfg(feature = "bpe")]
mod byte_level;
#[cfg(feature = "unigram")]
mod charsmap;
mod config;
mod load;
mod model;
mod normalizer;
mod template;
mod unicode;
#[cfg(feature = "unigram")]
mod unigram;
mod vocab;
mod wordpiece;
mod words;

pub use config::TokenizerConfig;

#[cfg(feature = "subword")]
use crate::json::Json;
use crate::json::JsonError;
use added::{Matcher, Part};
use model::Model;
use normalizer::Normalizer;
use template::{Piece, Template};
use unicode::Unicode;
use vocab::Vocab;
use words::{Cut, cut};

/// Why there is no tokenizer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file is not JSON, or a value is not of the type that it should have.
    #[error("tokenizer.json is not as expected: {0}")]
    Json(#[from] JsonError),
    /// A kind of tokenizer that this is not.
    #[error("the tokenizer's {part} is {found}; what works is {works}")]
    Unsupported {
        /// Part of the file.
        part: &'static str,
        /// The type of it.
        found: String,
        /// The types that there are.
        works: &'static str,
    },
    /// A kind of tokenizer that a build with another feature has.
    #[error(
        "the tokenizer's {part} is {found}, which this build has not: `cargo xtask build --features {feature}` makes the \
         package with it, in Rust it is the feature `{feature}` of the crate fourlane"
    )]
    Feature {
        /// Part of the file.
        part: &'static str,
        /// The type of it.
        found: &'static str,
        /// The cargo feature.
        feature: &'static str,
    },
    /// A part of the file contradicts itself.
    #[error("the tokenizer's {part} {problem}")]
    Damaged {
        /// Part of the file.
        part: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The template of special tokens contradicts itself.
    #[error("the tokenizer's post_processor {0}")]
    Template(&'static str),
    /// A token that every text may need is not in the vocabulary.
    #[error("the vocabulary lacks '{token}', which is the {role}")]
    MissingToken {
        /// What it is, as in `tokenizer_config.json`.
        role: &'static str,
        /// The token.
        token: String,
    },
    /// The vocabulary is not text.
    #[error("vocab.txt is not UTF-8 at byte {0}")]
    VocabText(usize),
}

fn unsupported(part: &'static str, found: Option<String>, works: &'static str) -> TokenizerError {
    TokenizerError::Unsupported { part, found: found.unwrap_or_else(|| "missing".into()), works }
}

/// Enters the list of a sequence of normalizers or the like, which so many are around.
#[cfg(feature = "subword")]
fn open_sequence(json: &mut Json<'_>, depth: u32) {
    /// What nests deeper has been made to exhaust a stack.
    const MAX_DEPTH: u32 = 8;
    if depth > MAX_DEPTH {
        json.fail_here("sequences nested too deeply");
    }
    json.array();
}

/// A text as a model takes it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Encoding {
    /// Token ids, special tokens included.
    pub ids: Vec<i64>,
    /// For each id 0, or 1 for the second text of a pair.
    pub type_ids: Vec<i64>,
}

/// A tokenizer. See [`Tokenizer::from_json`] and [`Tokenizer::from_vocab`].
pub struct Tokenizer {
    unicode: Unicode,
    normalizer: Normalizer,
    cuts: Vec<Cut>,
    model: Model,
    template: Template,
    /// All added tokens, by content.
    added: Vocab,
    /// Those to be found in the text as given.
    as_given: Matcher,
    /// Those to be found in the normalized text.
    as_normalized: Matcher,
    pad: u32,
}

/// How much text is normalized at once, in bytes. Only a text that has many words and is cut off notices.
const CHUNK: usize = 4096;

impl Tokenizer {
    /// Encodes a text, or a pair of texts.
    ///
    /// If there would be more than `max_len` ids, texts lose tokens at the end, the longer one of a pair first, until
    /// they fit. Special tokens stay, also if there are more of them than that.
    pub fn encode(&self, text: &str, pair: Option<&str>, max_len: usize) -> Encoding {
        let room = max_len.saturating_sub(self.template.special_count(pair.is_some()));
        let mut first = Vec::new();
        let mut second = Vec::new();
        match pair {
            // What is behind the limit has no effect on what is before.
            None => self.encode_sequence(text, room, &mut first),
            // Which text is the longer one decides who gets the odd token, so both are counted to the end.
            Some(pair) => {
                self.encode_sequence(text, usize::MAX, &mut first);
                self.encode_sequence(pair, usize::MAX, &mut second);
                let (rest, pair_rest) = share(first.len(), second.len(), room);
                first.truncate(rest);
                second.truncate(pair_rest);
            }
        }
        let mut encoding = Encoding::default();
        for piece in self.template.pieces(pair.is_some()) {
            let (ids, type_id) = match piece {
                Piece::Special { id, type_id } => (std::slice::from_ref(id), type_id),
                Piece::Sequence { second: false, type_id } => (&first[..], type_id),
                Piece::Sequence { second: true, type_id } => (&second[..], type_id),
            };
            encoding.ids.extend_from_slice(ids);
            encoding.type_ids.resize(encoding.ids.len(), *type_id);
        }
        encoding
    }

    /// The id that fills up short texts of a batch.
    pub fn pad_id(&self) -> i64 {
        i64::from(self.pad)
    }

    /// Sets the id that fills up short texts of a batch.
    pub fn set_pad_id(&mut self, id: u32) {
        self.pad = id;
    }

    /// The id of a token.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.added.get(token).or_else(|| self.model.vocab().get(token))
    }

    /// The token of an id. Looks through the whole vocabulary.
    pub fn id_to_token(&self, id: u32) -> Option<&str> {
        self.added.token(id).or_else(|| self.model.vocab().token(id))
    }

    /// Appends the ids of a text without special tokens around it, at most `limit`.
    fn encode_sequence(&self, text: &str, limit: usize, ids: &mut Vec<i64>) {
        for (index, part) in self.as_given.split(&self.unicode, text).enumerate() {
            if ids.len() >= limit {
                break;
            }
            match part {
                Part::Token(id) => ids.push(i64::from(id)),
                Part::Text(mut rest) => {
                    let mut at_start = index == 0;
                    while !rest.is_empty() && ids.len() < limit {
                        let (chunk, after) = rest.split_at_checked(self.chunk(rest)).unwrap_or((rest, ""));
                        let normalized = self.normalizer.normalize(&self.unicode, chunk, &mut at_start);
                        self.encode_normalized(&normalized, at_start, limit, ids);
                        (rest, at_start) = (after, false);
                    }
                }
            }
        }
        ids.truncate(limit);
    }

    /// How much of a text can be normalized and encoded without a look at the rest: up to a space, where no word and no
    /// cluster of combining characters goes on. Added tokens may, so with those in normalized text it is all.
    fn chunk(&self, text: &str) -> usize {
        let is_space = |&byte: &u8| byte == b' ' || byte == b'\n';
        let tail = text.as_bytes().get(CHUNK..).unwrap_or_default();
        let is_local = matches!(self.cuts[..], [Cut::Bert, ..]) && self.normalizer.is_local();
        match tail.iter().position(is_space) {
            Some(space) if is_local && self.as_normalized.is_empty() => CHUNK + space,
            _ => text.len(),
        }
    }

    fn encode_normalized(&self, text: &str, at_start: bool, limit: usize, ids: &mut Vec<i64>) {
        for (index, part) in self.as_normalized.split(&self.unicode, text).enumerate() {
            if ids.len() >= limit {
                break;
            }
            match part {
                Part::Token(id) => ids.push(i64::from(id)),
                Part::Text(text) => {
                    cut(&self.cuts, &self.unicode, text, at_start && index == 0, &mut |word| {
                        self.model.encode(word, ids);
                        ids.len() < limit
                    });
                }
            }
        }
    }
}

/// How many of `first` and `second` tokens there is room for: the longer text loses tokens until both are of the same
/// length, then both do. The odd one goes to the longer text, or to the second if they are equal.
fn share(first: usize, second: usize, room: usize) -> (usize, usize) {
    let (short, long) = (first.min(second), first.max(second));
    let (short, long) = if short.saturating_add(long) <= room {
        (short, long)
    } else if short <= room / 2 {
        (short, room - short)
    } else {
        (room / 2, room - room / 2)
    };
    if first > second { (long, short) } else { (short, long) }
}
