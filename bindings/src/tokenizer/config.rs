//! `tokenizer_config.json`: the maximum length, and what `vocab.txt` alone does not say.

use super::added::AddedToken;
use crate::json::{Json, JsonError};

/// The settings of a `tokenizer_config.json` that matter here. Everything is optional: the default is an empty file.
#[derive(Clone, Default, Debug)]
pub struct TokenizerConfig {
    /// The most tokens that the model takes. `None` if the file does not say, or says "very many" (10^30 stands for it).
    pub model_max_length: Option<usize>,
    pub(crate) tokenizer_class: Option<String>,
    pub(crate) do_lower_case: Option<bool>,
    pub(crate) strip_accents: Option<bool>,
    pub(crate) tokenize_chinese_chars: Option<bool>,
    /// As in [`SPECIALS`].
    pub(crate) specials: [Option<AddedToken>; SPECIALS.len()],
    /// `added_tokens_decoder`, with ids.
    pub(crate) added: Vec<(u32, AddedToken)>,
}

/// Keys of special tokens, and what they are if a `vocab.txt` is all there is.
pub(crate) const SPECIALS: [(&str, &str); 5] = [
    ("unk_token", "[UNK]"),
    ("cls_token", "[CLS]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("mask_token", "[MASK]"),
];
const PAD: usize = 3;

/// No model has more positions; more is a way to say that there is no maximum.
const NO_MAXIMUM: f64 = 1e9;

impl TokenizerConfig {
    /// Reads the file. Settings of an unexpected type are taken as absent.
    ///
    /// # Errors
    ///
    /// If the text is not a JSON object.
    pub fn from_json(bytes: &[u8]) -> Result<Self, JsonError> {
        let mut reader = Json::new(bytes);
        let json = &mut reader;
        let mut config = TokenizerConfig::default();
        json.object();
        while let Some(key) = json.next_key() {
            match &*key {
                "model_max_length" if json.at_number() => {
                    let max = json.number();
                    config.model_max_length = (0.0..NO_MAXIMUM).contains(&max).then_some(max as usize);
                }
                "tokenizer_class" if json.peek() == b'"' => config.tokenizer_class = Some(json.text()),
                "do_lower_case" => config.do_lower_case = bool(json),
                "strip_accents" => config.strip_accents = bool(json),
                "tokenize_chinese_chars" => config.tokenize_chinese_chars = bool(json),
                "added_tokens_decoder" if json.peek() == b'{' => {
                    json.object();
                    while let Some(id) = json.next_key() {
                        match id.parse() {
                            Ok(id) => {
                                if let Some(token) = special(json) {
                                    config.added.push((id, token));
                                }
                            }
                            Err(_) => json.fail_here("expected an id as the key before"),
                        }
                    }
                }
                _ => match SPECIALS.iter().position(|(special, _)| *special == key) {
                    Some(role) => config.specials[role] = special(json),
                    None => json.skip(),
                },
            }
        }
        reader.finish()?;
        Ok(config)
    }

    /// The padding token.
    pub fn pad_token(&self) -> Option<&str> {
        self.specials[PAD].as_ref().map(|token| token.content.as_str())
    }
}

fn bool(json: &mut Json<'_>) -> Option<bool> {
    if matches!(json.peek(), b't' | b'f') {
        return Some(json.bool());
    }
    json.skip();
    None
}

/// A special token, given by its string alone or with flags.
fn special(json: &mut Json<'_>) -> Option<AddedToken> {
    match json.peek() {
        b'"' => {
            let content = json.text();
            return Some(AddedToken { content, special: true, ..AddedToken::default() });
        }
        b'{' => return Some(AddedToken::read(json)),
        _ => json.skip(),
    }
    None
}

impl AddedToken {
    /// Reads `{"id": 101, "content": "[CLS]", "single_word": false...}`. The id is not used, here as in the reference.
    pub fn read(json: &mut Json<'_>) -> Self {
        let mut token = AddedToken::default();
        json.object();
        while let Some(key) = json.next_key() {
            let flag = match &*key {
                "content" => {
                    token.content = json.text();
                    continue;
                }
                "single_word" => &mut token.single_word,
                "lstrip" => &mut token.lstrip,
                "rstrip" => &mut token.rstrip,
                "normalized" => &mut token.normalized,
                "special" => &mut token.special,
                _ => {
                    json.skip();
                    continue;
                }
            };
            *flag = json.bool();
        }
        token
    }
}
