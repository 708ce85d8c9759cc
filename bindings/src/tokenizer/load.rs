//! Makes a tokenizer of `tokenizer.json` or `vocab.txt`.

use super::added::{AddedToken, Matcher};
use super::bert::BertNormalizer;
use super::config::{SPECIALS, TokenizerConfig};
use super::model::{MAX_CHARS, Model, ModelSettings, PREFIX};
use super::normalizer::{Normalizer, Step};
use super::template::{PostProcessor, Template};
use super::unicode::Unicode;
use super::vocab::Vocab;
use super::wordpiece::WordPiece;
use super::words::Cut;
use super::{Tokenizer, TokenizerError, unsupported};
use crate::json::Json;

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
    /// If the file is not what `tokenizers` writes, or of a kind that is not in this build. Without features there is
    /// BERT's: WordPiece with `BertNormalizer` (or none) and `BertPreTokenizer`. The features `bpe` and `unigram` add
    /// these models, with the normalizers and pre-tokenizers that RoBERTa, XLM-R, ALBERT, DeBERTa and their like have.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let mut reader = Json::new(bytes);
        let json = &mut reader;
        // A refusal waits until the file has been read, as the model, which says most, comes last.
        let mut refused = None;
        let mut normalizer = Normalizer::default();
        let mut cuts = Vec::new();
        let mut model = ModelSettings::default();
        let mut post_processor = PostProcessor::default();
        let mut added = Vec::new();
        json.object();
        while let Some(key) = json.next_key() {
            match &*key {
                "normalizer" => normalizer = Normalizer::read(json, &mut refused),
                "pre_tokenizer" => cuts = Cut::read(json, &mut refused),
                "post_processor" => post_processor = PostProcessor::read(json),
                "model" => model = ModelSettings::read(json),
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

        let model = model.into_model()?;
        if let Some(error) = refused {
            return Err(error);
        }
        if cfg!(not(feature = "subword")) && cuts.is_empty() {
            return Err(unsupported("pre_tokenizer", None, "BertPreTokenizer"));
        }
        let mut tokenizer = Tokenizer::new(normalizer, cuts, model, post_processor.into_template()?);
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
                return Err(unsupported("tokenizer_class", Some(class.clone()), works));
            }
        }
        let text = std::str::from_utf8(bytes).map_err(|error| TokenizerError::VocabText(error.valid_up_to()))?;
        let mut vocab = Vocab::default();
        let (mut rest, mut id) = (text, 0);
        while !rest.is_empty() {
            let end = rest.bytes().position(|byte| byte == b'\n').unwrap_or(rest.len());
            let (line, after) = rest.split_at_checked(end).unwrap_or_default();
            // As str::lines, whose search for a character is code that nothing else here needs.
            vocab.insert(if after.is_empty() { line } else { line.strip_suffix('\r').unwrap_or(line) }, id);
            rest = after.get(1..).unwrap_or_default();
            id += 1;
        }
        let mut specials = Vec::new();
        let mut ids = [0; SPECIALS.len()];
        for (role, &(key, default)) in SPECIALS.iter().enumerate() {
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
        let normalizer = BertNormalizer {
            clean_text: true,
            handle_chinese_chars: config.tokenize_chinese_chars.unwrap_or(true),
            strip_accents: config.strip_accents.unwrap_or(lowercase),
            lowercase,
        };
        let pieces = WordPiece { vocab, prefix: PREFIX.into(), unk, max_chars: MAX_CHARS };
        let normalizer = Normalizer { steps: vec![Step::Bert(normalizer)] };
        let model = Model::WordPiece(pieces);
        let mut tokenizer = Tokenizer::new(normalizer, vec![Cut::Bert], model, Template::bert(cls, sep));
        for (id, token) in &config.added {
            let id = tokenizer.model.vocab().get(&token.content).unwrap_or(*id);
            tokenizer.added.insert(&token.content, id);
            specials.push(token.clone());
        }
        tokenizer.add_tokens(specials);
        Ok(tokenizer)
    }

    fn new(normalizer: Normalizer, cuts: Vec<Cut>, model: Model, template: Template) -> Self {
        let mut tokenizer = Tokenizer {
            unicode: Unicode::new(),
            normalizer,
            cuts,
            model,
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
        let mut next = u32::try_from(self.model.len()).unwrap_or(u32::MAX);
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
            for (id, token) in known.iter().filter(|(_, token)| token.special == special) {
                if token.normalized {
                    let content = self.normalizer.normalize(&self.unicode, &token.content, &mut false);
                    self.as_normalized.insert(&content, *id, token);
                } else {
                    self.as_given.insert(&token.content, *id, token);
                }
            }
        }
    }
}
