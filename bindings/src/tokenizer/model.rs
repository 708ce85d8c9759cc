//! Models: how a word becomes ids.

#[cfg(feature = "bpe")]
use super::bpe::Bpe;
#[cfg(feature = "unigram")]
use super::unigram::{UNK_PENALTY, Unigram};
use super::vocab::Vocab;
use super::wordpiece::WordPiece;
use super::{TokenizerError, unsupported};
use crate::json::Json;

pub(crate) enum Model {
    WordPiece(WordPiece),
    #[cfg(feature = "bpe")]
    Bpe(Box<Bpe>),
    #[cfg(feature = "unigram")]
    Unigram(Box<Unigram>),
}

/// What there may be.
const MODELS: &str = if cfg!(feature = "subword") {
    "WordPiece, BPE and Unigram"
} else {
    "WordPiece, which BERT, DistilBERT, ELECTRA, MiniLM and MPNet have"
};

const UNK: &str = "[UNK]";
pub(crate) const PREFIX: &str = "##";
pub(crate) const MAX_CHARS: usize = 100;

impl Model {
    pub fn vocab(&self) -> &Vocab {
        match self {
            Model::WordPiece(model) => &model.vocab,
            #[cfg(feature = "bpe")]
            Model::Bpe(model) => &model.vocab,
            #[cfg(feature = "unigram")]
            Model::Unigram(model) => &model.vocab,
        }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        match self {
            #[cfg(feature = "unigram")]
            Model::Unigram(model) => model.scores.len(),
            _ => self.vocab().len(),
        }
    }

    /// Appends the ids of a word.
    pub fn encode(&self, word: &str, ids: &mut Vec<i64>) {
        match self {
            Model::WordPiece(model) => model.encode(word, ids),
            #[cfg(feature = "bpe")]
            Model::Bpe(model) => model.encode(word, ids),
            #[cfg(feature = "unigram")]
            Model::Unigram(model) => model.encode(word, ids),
        }
    }
}

/// The `model` of a tokenizer file, as it stands there.
#[derive(Default)]
pub(crate) struct ModelSettings<'a> {
    kind: Option<String>,
    vocab: Vocab,
    unk: Option<String>,
    prefix: Option<String>,
    max_chars: Option<u32>,
    /// Where the merges are, which are read when the vocabulary is known.
    merges: Option<Json<'a>>,
    #[cfg(feature = "bpe")]
    suffix: Option<String>,
    #[cfg(feature = "bpe")]
    fuse_unk: bool,
    #[cfg(feature = "bpe")]
    ignore_merges: bool,
    #[cfg(feature = "subword")]
    byte_fallback: bool,
    /// Whether the vocabulary is a list, as Unigram has it.
    is_list: bool,
    #[cfg(feature = "unigram")]
    scores: Vec<f64>,
    #[cfg(feature = "unigram")]
    unk_id: Option<u32>,
}

impl<'a> ModelSettings<'a> {
    pub fn read(json: &mut Json<'a>) -> Self {
        let mut model = ModelSettings::default();
        json.object();
        while let Some(key) = json.next_key() {
            match &*key {
                "type" => model.kind = Some(json.text()),
                "unk_token" if json.peek() == b'"' => model.unk = Some(json.text()),
                "continuing_subword_prefix" if json.peek() == b'"' => model.prefix = Some(json.text()),
                "max_input_chars_per_word" => model.max_chars = Some(json.u32()),
                "vocab" if json.peek() == b'{' => {
                    json.object();
                    while let Some(token) = json.next_key() {
                        let id = json.u32();
                        model.vocab.insert(&token, id);
                    }
                }
                "vocab" if json.peek() == b'[' => {
                    model.is_list = true;
                    #[cfg(feature = "unigram")]
                    model.read_scores(json);
                    #[cfg(not(feature = "unigram"))]
                    json.skip();
                }
                "merges" => {
                    model.merges = Some(json.clone());
                    json.skip();
                }
                #[cfg(feature = "unigram")]
                "unk_id" if json.peek() != b'n' => model.unk_id = Some(json.u32()),
                #[cfg(feature = "bpe")]
                "end_of_word_suffix" if json.peek() == b'"' => model.suffix = Some(json.text()),
                #[cfg(feature = "bpe")]
                "fuse_unk" if json.peek() != b'n' => model.fuse_unk = json.bool(),
                #[cfg(feature = "bpe")]
                "ignore_merges" if json.peek() != b'n' => model.ignore_merges = json.bool(),
                #[cfg(feature = "subword")]
                "byte_fallback" if json.peek() != b'n' => model.byte_fallback = json.bool(),
                _ => json.skip(),
            }
        }
        model
    }

    /// `[["<unk>", 0.0], ["▁the", -3.5]...]`; the place is the id.
    #[cfg(feature = "unigram")]
    fn read_scores(&mut self, json: &mut Json<'_>) {
        json.array();
        while json.next_item() {
            let mut token = None;
            json.array();
            while json.next_item() {
                match &token {
                    None => token = Some(json.string()),
                    Some(token) => {
                        self.vocab.insert(token, self.scores.len() as u32);
                        self.scores.push(json.number());
                    }
                }
            }
        }
    }

    pub fn into_model(self) -> Result<Model, TokenizerError> {
        // Old files have no type; the reference goes by these, in this order.
        let kind = match &self.kind {
            Some(kind) => kind,
            None if self.merges.is_some() => "BPE",
            None if self.max_chars.is_some() => "WordPiece",
            None if self.is_list => "Unigram",
            None => "missing",
        };
        match kind {
            "WordPiece" => self.into_wordpiece(),
            #[cfg(feature = "bpe")]
            "BPE" => self.into_bpe(),
            #[cfg(feature = "unigram")]
            "Unigram" => self.into_unigram(),
            #[cfg(not(feature = "bpe"))]
            "BPE" => Err(TokenizerError::Feature { part: "model", found: "BPE", feature: "bpe" }),
            #[cfg(not(feature = "unigram"))]
            "Unigram" => Err(TokenizerError::Feature { part: "model", found: "Unigram", feature: "unigram" }),
            _ => Err(unsupported("model", self.kind, MODELS)),
        }
    }

    fn into_wordpiece(self) -> Result<Model, TokenizerError> {
        let token = self.unk.unwrap_or_else(|| UNK.into());
        let Some(unk) = self.vocab.get(&token) else {
            return Err(TokenizerError::MissingToken { role: "unk_token", token });
        };
        let max_chars = self.max_chars.map_or(MAX_CHARS, |max| max as usize);
        let prefix = self.prefix.unwrap_or_else(|| PREFIX.into());
        Ok(Model::WordPiece(WordPiece { vocab: self.vocab, prefix, unk, max_chars }))
    }

    #[cfg(feature = "bpe")]
    fn into_bpe(self) -> Result<Model, TokenizerError> {
        let Some(mut json) = self.merges else {
            return Err(TokenizerError::Damaged { part: "model", problem: "has no merges" });
        };
        let mut bpe = Bpe {
            bytes: self.byte_fallback.then(|| byte_ids(&self.vocab)),
            unk: self.unk.and_then(|unk| self.vocab.get(&unk)),
            vocab: self.vocab,
            prefix: self.prefix.unwrap_or_default(),
            suffix: self.suffix.unwrap_or_default(),
            fuse_unk: self.fuse_unk,
            ignore_merges: self.ignore_merges,
            ..Bpe::default()
        };
        let mut merged = String::new();
        json.array();
        while json.next_item() {
            // Old files have "a b", new ones ["a", "b"].
            let mut parts = ["".into(), "".into()];
            let mut count = 0;
            if json.peek() == b'"' {
                let text = json.string();
                if text.starts_with("#version") {
                    continue;
                }
                for part in text.split(' ') {
                    parts.get_mut(count).into_iter().for_each(|place| *place = part.to_string().into());
                    count += 1;
                }
            } else {
                json.array();
                while json.next_item() {
                    let part = json.string();
                    parts.get_mut(count).into_iter().for_each(|place| *place = part.clone());
                    count += 1;
                }
            }
            if count != 2 {
                json.fail_here("expected a pair of pieces");
                break;
            }
            let [left, right] = &parts;
            merged.clear();
            merged.push_str(left);
            merged.push_str(right.get(bpe.prefix.len()..).unwrap_or_default());
            let ids = (bpe.vocab.get(left), bpe.vocab.get(right), bpe.vocab.get(&merged));
            let (Some(left), Some(right), Some(merged)) = ids else {
                json.fail_here("expected pieces that are in the vocabulary, before and after they merge");
                break;
            };
            bpe.merges.push(left, right, merged);
        }
        json.check()?;
        Ok(Model::Bpe(Box::new(bpe)))
    }

    #[cfg(feature = "unigram")]
    fn into_unigram(self) -> Result<Model, TokenizerError> {
        let Some(unk) = self.unk_id.filter(|&id| (id as usize) < self.scores.len()) else {
            return Err(TokenizerError::Damaged { part: "model", problem: "has no unk_id that is in its vocabulary" });
        };
        let least = self.scores.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(Model::Unigram(Box::new(Unigram {
            bytes: self.byte_fallback.then(|| byte_ids(&self.vocab)),
            vocab: self.vocab,
            scores: self.scores,
            unk,
            unk_score: least - UNK_PENALTY,
        })))
    }
}

/// The ids of `<0x00>` to `<0xFF>`.
#[cfg(feature = "subword")]
fn byte_ids(vocab: &Vocab) -> Box<[Option<u32>; 256]> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: usize| char::from(DIGITS[nibble & 15]);
    Box::new(std::array::from_fn(|byte| {
        vocab.get(&String::from_iter(['<', '0', 'x', digit(byte >> 4), digit(byte), '>']))
    }))
}
