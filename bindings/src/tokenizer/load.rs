//! Makes a tokenizer of `tokenizer.json` or `vocab.txt`.

use super::added::{AddedToken, Matcher};
use super::config::{SPECIALS, TokenizerConfig};
use super::normalizer::Normalizer;
use super::template::{PostProcessor, Template};
use super::unicode::Unicode;
use super::vocab::Vocab;
use super::wordpiece::WordPiece;
use super::{Tokenizer, TokenizerError};
use crate::json::Json;

const UNK: &str = "[UNK]";
const PREFIX: &str = "##";
const MAX_CHARS: usize = 100;

/// Tokenizers that are a `vocab.txt`, `BertNormalizer`, `BertPreTokenizer` and `[CLS] A [SEP] B [SEP]`.
const CLASSES: [&str; 9] = [
    "Bert",
    "DistilBert",
    "Electra",
    "MobileBert",
    "SqueezeBert",
    "ConvBert",
    "LayoutLM",
    "Lxmert",
    "PreTrained", // of no particular class; what has a vocab.txt is BERT's
];

impl Tokenizer {
    /// Reads a `tokenizer.json`. Its sections on truncation and padding are not used: who encodes says how long. Nor does
    /// a `tokenizer_config.json` beside it change how text is normalized.
    ///
    /// # Errors
    ///
    /// If the file is not what `tokenizers` writes, or not a BERT tokenizer: WordPiece with `BertNormalizer` (or none)
    /// and `BertPreTokenizer`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let mut reader = Json::new(bytes);
        let json = &mut reader;
        let mut settings = Settings::default();
        let mut model = Model::default();
        let mut pre_tokenizer = None;
        let mut post_processor = PostProcessor::default();
        let mut added = Vec::new();
        json.object();
        while let Some(key) = json.next_key() {
            match &*key {
                "normalizer" => settings = Settings::read(json),
                "pre_tokenizer" => pre_tokenizer = read_type(json),
                "post_processor" => post_processor = PostProcessor::read(json),
                "model" => model = Model::read(json),
                "added_tokens" => {
                    json.array();
                    while json.next_item() {
                        added.push(AddedToken::read(json));
                    }
                }
                _ => json.skip(),
            }
        }
        reader.finish()?;

        let pieces = model.into_pieces()?;
        if pre_tokenizer.as_deref() != Some("BertPreTokenizer") {
            return unsupported("pre_tokenizer", pre_tokenizer, "BertPreTokenizer");
        }
        let mut tokenizer = Tokenizer::new(settings.into_normalizer()?, pieces, post_processor.into_template()?);
        tokenizer.add_tokens(added);
        Ok(tokenizer)
    }

    /// Reads a `vocab.txt`, one piece a line, the line number its id. The configuration says whether to make the text
    /// lower case and so on; by default, all is as transformers' `BertTokenizer` has it.
    ///
    /// # Errors
    ///
    /// If the file is not UTF-8, has no unknown, first or separator token, or is of a tokenizer that is not BERT's.
    pub fn from_vocab(bytes: &[u8], config: &TokenizerConfig) -> Result<Self, TokenizerError> {
        if let Some(class) = &config.tokenizer_class {
            let name = class.strip_suffix("Fast").unwrap_or(class);
            if !name.strip_suffix("Tokenizer").is_some_and(|name| CLASSES.contains(&name)) {
                let works = "BertTokenizer and its like; try the tokenizer.json of this model";
                return unsupported("tokenizer_class", Some(class.clone()), works);
            }
        }
        let text = std::str::from_utf8(bytes).map_err(|error| TokenizerError::VocabText(error.valid_up_to()))?;
        let mut vocab = Vocab::default();
        for (line, id) in text.lines().zip(0..) {
            vocab.insert(line, id);
        }
        let mut specials = Vec::new();
        let mut ids = [0; SPECIALS.len()];
        for (role, (key, default)) in SPECIALS.into_iter().enumerate() {
            let default = || AddedToken { content: default.into(), special: true, ..AddedToken::default() };
            let token = config.specials[role].clone().unwrap_or_else(default);
            match vocab.get(&token.content) {
                Some(id) => ids[role] = id,
                None if role < 3 => return Err(TokenizerError::MissingToken { role: key, token: token.content }),
                None => continue,
            }
            specials.push(token);
        }
        let [unk, cls, sep, ..] = ids;

        let lowercase = config.do_lower_case.unwrap_or(true);
        let normalizer = Normalizer {
            clean_text: true,
            handle_chinese_chars: config.tokenize_chinese_chars.unwrap_or(true),
            strip_accents: config.strip_accents.unwrap_or(lowercase),
            lowercase,
        };
        let pieces = WordPiece { vocab, prefix: PREFIX.into(), unk, max_chars: MAX_CHARS };
        let mut tokenizer = Tokenizer::new(normalizer, pieces, Template::bert(cls, sep));
        for (id, token) in &config.added {
            let id = tokenizer.pieces.vocab.get(&token.content).unwrap_or(*id);
            tokenizer.added.insert(&token.content, id);
            specials.push(token.clone());
        }
        tokenizer.add_tokens(specials);
        Ok(tokenizer)
    }

    fn new(normalizer: Normalizer, pieces: WordPiece, template: Template) -> Self {
        let mut tokenizer = Tokenizer {
            unicode: Unicode::new(),
            normalizer,
            pieces,
            template,
            added: Vocab::default(),
            as_given: Matcher::default(),
            as_normalized: Matcher::default(),
            pad: 0,
        };
        tokenizer.pad = tokenizer.token_to_id("[PAD]").or_else(|| tokenizer.token_to_id("<pad>")).unwrap_or(0);
        tokenizer
    }

    /// Gives ids as the reference does: the vocabulary's, else the next free one, whatever the file says. Of several
    /// tokens with one id the last counts.
    fn add_tokens(&mut self, tokens: Vec<AddedToken>) {
        let mut next = u32::try_from(self.pieces.vocab.len()).unwrap_or(u32::MAX);
        let mut known: Vec<(u32, AddedToken)> = Vec::new();
        let mut places = Vocab::default();
        for token in tokens {
            if token.content.is_empty() {
                continue;
            }
            let id = self.token_to_id(&token.content).unwrap_or_else(|| {
                next = next.saturating_add(1);
                next - 1
            });
            self.added.insert(&token.content, id);
            let place = id.to_string();
            match places.get(&place).and_then(|place| known.get_mut(place as usize)) {
                Some(entry) => entry.1 = token,
                None => {
                    places.insert(&place, known.len() as u32);
                    known.push((id, token));
                }
            }
        }
        // Of two tokens that look the same when normalized, a special one is found, else the first.
        for special in [true, false] {
            for (id, token) in known.extract_if(.., |(_, token)| token.special == special) {
                if token.normalized {
                    let mut content = String::new();
                    self.normalizer.normalize(&self.unicode, &token.content, &mut content);
                    self.as_normalized.insert(&content, id, token);
                } else {
                    let content = token.content.clone();
                    self.as_given.insert(&content, id, token);
                }
            }
        }
    }
}

fn unsupported<T>(part: &'static str, found: Option<String>, works: &'static str) -> Result<T, TokenizerError> {
    Err(TokenizerError::Unsupported { part, found: found.unwrap_or_else(|| "missing".into()), works })
}

/// The `type` of an object.
fn read_type(json: &mut Json<'_>) -> Option<String> {
    let mut found = None;
    if !json.null() {
        json.object();
        while let Some(key) = json.next_key() {
            if key == "type" {
                found = Some(json.text());
            } else {
                json.skip();
            }
        }
    }
    found
}

/// The `normalizer` of a tokenizer file, as it stands there.
#[derive(Default)]
struct Settings {
    kind: Option<String>,
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
}

impl Settings {
    fn read(json: &mut Json<'_>) -> Self {
        if json.null() {
            return Settings::default();
        }
        let mut settings =
            Settings { clean_text: true, handle_chinese_chars: true, lowercase: true, ..Settings::default() };
        json.object();
        while let Some(key) = json.next_key() {
            match &*key {
                "type" => settings.kind = Some(json.text()),
                "clean_text" => settings.clean_text = json.bool(),
                "handle_chinese_chars" => settings.handle_chinese_chars = json.bool(),
                "strip_accents" => settings.strip_accents = if json.null() { None } else { Some(json.bool()) },
                "lowercase" => settings.lowercase = json.bool(),
                _ => json.skip(),
            }
        }
        settings
    }

    fn into_normalizer(self) -> Result<Normalizer, TokenizerError> {
        let Settings { kind, clean_text, handle_chinese_chars, strip_accents, lowercase } = self;
        if kind.as_deref().is_some_and(|kind| kind != "BertNormalizer") {
            return unsupported("normalizer", kind, "BertNormalizer and null");
        }
        let strip_accents = strip_accents.unwrap_or(lowercase);
        Ok(Normalizer { clean_text, handle_chinese_chars, strip_accents, lowercase })
    }
}

/// The `model` of a tokenizer file, as it stands there.
#[derive(Default)]
struct Model {
    kind: Option<String>,
    vocab: Vocab,
    unk: Option<String>,
    prefix: Option<String>,
    max_chars: Option<u32>,
}

impl Model {
    fn read(json: &mut Json<'_>) -> Self {
        let mut model = Model::default();
        json.object();
        while let Some(key) = json.next_key() {
            match &*key {
                "type" => model.kind = Some(json.text()),
                "unk_token" if json.peek() == b'"' => model.unk = Some(json.text()),
                "continuing_subword_prefix" if json.peek() == b'"' => model.prefix = Some(json.text()),
                "max_input_chars_per_word" => model.max_chars = Some(json.u32()),
                // Unigram has an array here.
                "vocab" if json.peek() == b'{' => {
                    json.object();
                    while let Some(token) = json.next_key() {
                        let id = json.u32();
                        model.vocab.insert(&token, id);
                    }
                }
                _ => json.skip(),
            }
        }
        model
    }

    fn into_pieces(self) -> Result<WordPiece, TokenizerError> {
        // Old files have no type; what has a limit to the characters of a word is WordPiece.
        let is_wordpiece = self.kind.as_deref().map_or(self.max_chars.is_some(), |kind| kind == "WordPiece");
        if !is_wordpiece {
            return unsupported(
                "model",
                self.kind,
                "WordPiece, which BERT, DistilBERT, ELECTRA, MiniLM and MPNet have",
            );
        }
        let token = self.unk.unwrap_or_else(|| UNK.into());
        let Some(unk) = self.vocab.get(&token) else {
            return Err(TokenizerError::MissingToken { role: "unk_token", token });
        };
        let max_chars = self.max_chars.map_or(MAX_CHARS, |max| max as usize);
        Ok(WordPiece { vocab: self.vocab, prefix: self.prefix.unwrap_or_else(|| PREFIX.into()), unk, max_chars })
    }
}
