//! What special tokens go around one text or a pair, and which texts are of which type.

use super::TokenizerError;
use crate::json::Json;

/// One place of a template.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    /// A special token.
    Special { id: i64, type_id: i64 },
    /// All tokens of the first or the second text.
    Sequence { second: bool, type_id: i64 },
}

/// The templates for one text and for a pair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Template {
    pub single: Vec<Piece>,
    pub pair: Vec<Piece>,
}

impl Template {
    /// Nothing but the texts.
    pub fn plain() -> Self {
        let (first, second) = (sequence(false, 0), sequence(true, 1));
        Template { single: vec![first], pair: vec![first, second] }
    }

    /// `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`, the second text and its end of type 1.
    pub fn bert(cls: u32, sep: u32) -> Self {
        let single = vec![special(cls, 0), sequence(false, 0), special(sep, 0)];
        let pair = [&single[..], &[sequence(true, 1), special(sep, 1)]].concat();
        Template { single, pair }
    }

    /// `<s> A </s>` and `<s> A </s></s> B </s>`, all of type 0.
    pub fn roberta(cls: u32, sep: u32) -> Self {
        let single = vec![special(cls, 0), sequence(false, 0), special(sep, 0)];
        let pair = [&single[..], &[special(sep, 0), sequence(true, 0), special(sep, 0)]].concat();
        Template { single, pair }
    }

    /// Number of special tokens around one text or a pair.
    pub fn special_count(&self, is_pair: bool) -> usize {
        self.pieces(is_pair).iter().filter(|piece| matches!(piece, Piece::Special { .. })).count()
    }

    pub fn pieces(&self, is_pair: bool) -> &[Piece] {
        if is_pair { &self.pair } else { &self.single }
    }
}

fn special(id: u32, type_id: i64) -> Piece {
    Piece::Special { id: i64::from(id), type_id }
}

fn sequence(second: bool, type_id: i64) -> Piece {
    Piece::Sequence { second, type_id }
}

/// The `post_processor` of a tokenizer file, as it stands there.
#[derive(Default)]
pub(crate) struct PostProcessor {
    kind: Option<String>,
    cls: Option<u32>,
    sep: Option<u32>,
    single: Vec<NamedPiece>,
    pair: Vec<NamedPiece>,
    /// Names of special tokens, each as often as it has ids.
    specials: Vec<(String, u32)>,
    /// Those of a sequence.
    #[cfg(feature = "subword")]
    parts: Vec<PostProcessor>,
}

/// A place of a template before the names of special tokens are looked up.
#[derive(Default)]
struct NamedPiece {
    is_special: bool,
    name: String,
    type_id: u32,
}

impl PostProcessor {
    pub fn read(json: &mut Json<'_>) -> Self {
        if json.null() { PostProcessor::default() } else { Self::read_within(json, 0) }
    }

    /// Reads a processor that so many sequences are around.
    #[cfg_attr(not(feature = "subword"), allow(unused_variables))]
    fn read_within(json: &mut Json<'_>, depth: u32) -> Self {
        let mut post = PostProcessor::default();
        json.object();
        while let Some(key) = json.next_key() {
            match &*key {
                "type" => post.kind = Some(json.text()),
                "cls" => post.cls = read_named_id(json),
                "sep" => post.sep = read_named_id(json),
                "single" => post.single = read_pieces(json),
                "pair" => post.pair = read_pieces(json),
                "special_tokens" => post.specials = read_specials(json),
                #[cfg(feature = "subword")]
                "processors" => {
                    super::open_sequence(json, depth);
                    while json.next_item() {
                        post.parts.push(Self::read_within(json, depth + 1));
                    }
                }
                _ => json.skip(),
            }
        }
        post
    }

    pub fn into_template(self) -> Result<Template, TokenizerError> {
        match (self.kind.as_deref(), self.cls, self.sep) {
            (None, ..) => Ok(Template::plain()),
            (Some("TemplateProcessing"), ..) => {
                let single = resolve(&self.single, &self.specials)?;
                let pair = resolve(&self.pair, &self.specials)?;
                if single.iter().any(|piece| matches!(piece, Piece::Sequence { second: true, .. })) {
                    return Err(TokenizerError::Template("uses a second text where there is one"));
                }
                Ok(Template { single, pair })
            }
            (Some("BertProcessing"), Some(cls), Some(sep)) => Ok(Template::bert(cls, sep)),
            (Some("RobertaProcessing"), Some(cls), Some(sep)) => Ok(Template::roberta(cls, sep)),
            (Some("BertProcessing" | "RobertaProcessing"), ..) => Err(TokenizerError::Template("lacks cls or sep")),
            // It changes the offsets of tokens, which nobody asks for here.
            #[cfg(feature = "subword")]
            (Some("ByteLevel"), ..) => Ok(Template::plain()),
            #[cfg(feature = "subword")]
            (Some("Sequence"), ..) => {
                let mut parts = self.parts.into_iter().filter(|part| part.kind.as_deref() != Some("ByteLevel"));
                match (parts.next(), parts.next()) {
                    (None, _) => Ok(Template::plain()),
                    (Some(part), None) => part.into_template(),
                    _ => Err(TokenizerError::Template("puts special tokens around twice")),
                }
            }
            _ => {
                let works = "TemplateProcessing, BertProcessing, RobertaProcessing and null";
                Err(TokenizerError::Unsupported { part: "post_processor", found: self.kind.unwrap_or_default(), works })
            }
        }
    }
}

/// `["[SEP]", 102]`
fn read_named_id(json: &mut Json<'_>) -> Option<u32> {
    let mut id = None;
    json.array();
    while json.next_item() {
        if json.at_number() {
            id = Some(json.u32());
        } else {
            json.skip();
        }
    }
    id
}

/// `[{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}...]`
fn read_pieces(json: &mut Json<'_>) -> Vec<NamedPiece> {
    let mut pieces = Vec::new();
    json.array();
    while json.next_item() {
        json.object();
        while let Some(kind) = json.next_key() {
            let mut piece = NamedPiece { is_special: kind == "SpecialToken", ..NamedPiece::default() };
            json.object();
            while let Some(key) = json.next_key() {
                match &*key {
                    "id" => piece.name = json.text(),
                    "type_id" => piece.type_id = json.u32(),
                    _ => json.skip(),
                }
            }
            pieces.push(piece);
        }
    }
    pieces
}

/// `{"[CLS]": {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]}...}`
fn read_specials(json: &mut Json<'_>) -> Vec<(String, u32)> {
    let mut specials = Vec::new();
    json.object();
    while let Some(name) = json.next_key() {
        json.object();
        while let Some(key) = json.next_key() {
            if key != "ids" {
                json.skip();
                continue;
            }
            json.array();
            while json.next_item() {
                specials.push((name.to_string(), json.u32()));
            }
        }
    }
    specials
}

fn resolve(named: &[NamedPiece], specials: &[(String, u32)]) -> Result<Vec<Piece>, TokenizerError> {
    let mut pieces = Vec::new();
    for NamedPiece { is_special, name, type_id } in named {
        let type_id = i64::from(*type_id);
        let before = pieces.len();
        if *is_special {
            for (_, id) in specials.iter().filter(|(special, _)| special == name) {
                pieces.push(special(*id, type_id));
            }
        } else if name == "A" || name == "B" {
            pieces.push(sequence(name == "B", type_id));
        }
        if pieces.len() == before {
            return Err(TokenizerError::Template("names a token that it does not list, or a text other than A and B"));
        }
    }
    Ok(pieces)
}
