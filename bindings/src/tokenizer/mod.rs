//! BERT's tokenizer: text to ids, exactly as the Hugging Face `tokenizers` library does it.
//!
//! A text passes these rooms: [`added`] cuts out tokens such as `[SEP]` that are recognised as they stand, [`normalizer`]
//! cleans the rest (with the tables of [`unicode`]), [`wordpiece`] cuts it into words and these into pieces of the
//! [`vocab`], and a [`template`] puts special tokens around. [`load`] reads all of that from files.
//!
//! A text of any length takes time in proportion to it, and one that is cut off takes only the time for what remains.

mod added;
mod config;
mod load;
mod normalizer;
mod template;
mod unicode;
mod vocab;
mod wordpiece;

pub use config::TokenizerConfig;

use crate::json::JsonError;
use added::{Matcher, Part};
use normalizer::Normalizer;
use template::{Piece, Template};
use unicode::Unicode;
use vocab::Vocab;
use wordpiece::WordPiece;

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

/// A text as a model takes it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Encoding {
    /// Token ids, special tokens included.
    pub ids: Vec<i64>,
    /// For each id 0, or 1 for the second text of a pair.
    pub type_ids: Vec<i64>,
}

/// A BERT tokenizer. See [`Tokenizer::from_json`] and [`Tokenizer::from_vocab`].
pub struct Tokenizer {
    unicode: Unicode,
    normalizer: Normalizer,
    pieces: WordPiece,
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
        self.added.get(token).or_else(|| self.pieces.vocab.get(token))
    }

    /// The token of an id. Looks through the whole vocabulary.
    pub fn id_to_token(&self, id: u32) -> Option<&str> {
        self.added.token(id).or_else(|| self.pieces.vocab.token(id))
    }

    /// Appends the ids of a text without special tokens around it, at most `limit`.
    fn encode_sequence(&self, text: &str, limit: usize, ids: &mut Vec<i64>) {
        let mut normalized = String::new();
        for part in self.as_given.split(&self.unicode, text) {
            if ids.len() >= limit {
                break;
            }
            match part {
                Part::Token(id) => ids.push(i64::from(id)),
                Part::Text(mut rest) => {
                    while !rest.is_empty() && ids.len() < limit {
                        let (chunk, after) = rest.split_at_checked(self.chunk(rest)).unwrap_or((rest, ""));
                        normalized.clear();
                        self.normalizer.normalize(&self.unicode, chunk, &mut normalized);
                        self.encode_normalized(&normalized, limit, ids);
                        rest = after;
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
        match tail.iter().position(is_space) {
            Some(space) if self.as_normalized.is_empty() => CHUNK + space,
            _ => text.len(),
        }
    }

    fn encode_normalized(&self, text: &str, limit: usize, ids: &mut Vec<i64>) {
        for part in self.as_normalized.split(&self.unicode, text) {
            match part {
                Part::Token(id) => ids.push(i64::from(id)),
                Part::Text(text) => self.pieces.encode(&self.unicode, text, limit, ids),
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
