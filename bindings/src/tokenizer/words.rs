//! Pre-tokenizers: how normalized text is cut into the words that a model is given, one at a time.
//!
//! Cuts follow each other: each word of the first is cut by the second, and so on, depth first, so that a text which is
//! cut off is only looked at up to there.

#[cfg(feature = "bpe")]
use super::byte_level::ByteLevel;
use super::unicode::Unicode;
use super::{TokenizerError, unsupported};
use crate::json::Json;

/// One way to cut.
pub(crate) enum Cut {
    /// Whitespace separates words, and each punctuation character is one of its own.
    Bert,
    /// Whitespace separates words.
    #[cfg(feature = "subword")]
    WhitespaceSplit,
    /// `\w+|[^\w\s]+`
    #[cfg(feature = "subword")]
    Whitespace,
    /// Each punctuation character is a word of its own.
    #[cfg(feature = "subword")]
    Punctuation,
    /// Spaces become a character that is part of the word after it.
    #[cfg(feature = "subword")]
    Metaspace { replacement: char, prepend: Prepend, split: bool },
    /// Words of bytes.
    #[cfg(feature = "bpe")]
    ByteLevel(ByteLevel),
}

/// Where [`Cut::Metaspace`] puts the replacement of a space in front.
#[cfg(feature = "subword")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Prepend {
    Always,
    /// At the start of the text.
    First,
    Never,
}

/// What is done with a character. Neighbours of one `Word` number stay together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Between,
    Alone,
    Word(u8),
}

/// Calls `each` with the words of a text, until it gives false; gives false if it did. `at_start` says that the text is
/// the beginning of the one to be tokenized.
pub(crate) fn cut(
    cuts: &[Cut],
    unicode: &Unicode,
    text: &str,
    at_start: bool,
    each: &mut dyn FnMut(&str) -> bool,
) -> bool {
    if text.is_empty() {
        return true;
    }
    let Some((first, cuts)) = cuts.split_first() else {
        return each(text);
    };
    match first {
        #[cfg(feature = "subword")]
        Cut::Metaspace { replacement, prepend, split } => {
            let mut marked = String::with_capacity(text.len() + text.len() / 4);
            let is_marked = text.starts_with([' ', *replacement]);
            if !is_marked && (*prepend == Prepend::Always || *prepend == Prepend::First && at_start) {
                marked.push(*replacement);
            }
            marked.extend(text.chars().map(|c| if c == ' ' { *replacement } else { c }));
            let mut start = 0;
            if *split {
                for (end, _) in marked.match_indices(*replacement) {
                    if !cut(cuts, unicode, marked.get(start..end).unwrap_or_default(), at_start && start == 0, each) {
                        return false;
                    }
                    start = end;
                }
            }
            cut(cuts, unicode, marked.get(start..).unwrap_or_default(), at_start && start == 0, each)
        }
        #[cfg(feature = "bpe")]
        Cut::ByteLevel(level) => {
            let mut at_start = at_start;
            level.cut(text, &mut |word| {
                let going_on = cut(cuts, unicode, word, at_start, each);
                at_start = false;
                going_on
            })
        }
        first => {
            let mut rest = text;
            while let Some(c) = rest.chars().next() {
                let place = first.place(unicode, c);
                let end = match place {
                    Place::Alone => c.len_utf8(),
                    _ => rest.find(|c| first.place(unicode, c) != place).unwrap_or(rest.len()),
                };
                let at_start = at_start && rest.len() == text.len();
                let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
                if place != Place::Between && !cut(cuts, unicode, word, at_start, each) {
                    return false;
                }
                rest = after;
            }
            true
        }
    }
}

impl Cut {
    fn place(&self, unicode: &Unicode, c: char) -> Place {
        let punctuation = || if is_punctuation(unicode, c) { Place::Alone } else { Place::Word(0) };
        match self {
            #[cfg(feature = "subword")]
            Cut::Punctuation => punctuation(),
            _ if c.is_whitespace() => Place::Between,
            Cut::Bert => punctuation(),
            #[cfg(feature = "subword")]
            Cut::Whitespace => Place::Word(u8::from(unicode.class(c).is_word())),
            #[cfg(feature = "subword")]
            _ => Place::Word(0),
        }
    }

    /// Reads the `pre_tokenizer` of a tokenizer file. What is not supported is noted.
    pub fn read(json: &mut Json<'_>, refused: &mut Option<TokenizerError>) -> Vec<Cut> {
        let mut cuts = Vec::new();
        if !json.null() {
            read_into(json, &mut cuts, 0, refused);
        }
        cuts
    }
}

fn is_punctuation(unicode: &Unicode, c: char) -> bool {
    if c.is_ascii() { c.is_ascii_punctuation() } else { unicode.class(c).is_punctuation() }
}

#[cfg(not(feature = "subword"))]
fn read_into(json: &mut Json<'_>, cuts: &mut Vec<Cut>, _: u32, refused: &mut Option<TokenizerError>) {
    let mut kind = None;
    json.object();
    while let Some(key) = json.next_key() {
        if key == "type" {
            kind = Some(json.text());
        } else {
            json.skip();
        }
    }
    if kind.as_deref() == Some("BertPreTokenizer") {
        cuts.push(Cut::Bert);
    } else {
        refused.get_or_insert(unsupported("pre_tokenizer", kind, "BertPreTokenizer"));
    }
}

/// Appends what an object describes, which may be a sequence.
#[cfg(feature = "subword")]
fn read_into(json: &mut Json<'_>, cuts: &mut Vec<Cut>, depth: u32, refused: &mut Option<TokenizerError>) {
    let mut kind = None;
    let mut replacement = None;
    let mut prepend = Prepend::Always;
    let (mut prefix_space, mut split) = (None, true);
    #[cfg(feature = "bpe")]
    let mut use_regex = true;
    let mut behavior = None;
    let before = cuts.len();
    json.object();
    while let Some(key) = json.next_key() {
        match &*key {
            "type" => kind = Some(json.text()),
            "replacement" => {
                let text = json.string();
                let mut chars = text.chars();
                replacement = chars.next();
                if replacement.is_none() || chars.next().is_some() {
                    json.fail_here("expected one character");
                }
            }
            "prepend_scheme" => match &*json.string() {
                "always" => prepend = Prepend::Always,
                "first" => prepend = Prepend::First,
                "never" => prepend = Prepend::Never,
                _ => json.fail_here("expected always, first or never"),
            },
            "add_prefix_space" if json.peek() != b'n' => prefix_space = Some(json.bool()),
            "split" if json.peek() != b'n' => split = json.bool(),
            #[cfg(feature = "bpe")]
            "use_regex" => use_regex = json.bool(),
            "behavior" => behavior = Some(json.text()),
            "pretokenizers" => {
                super::open_sequence(json, depth);
                while json.next_item() {
                    read_into(json, cuts, depth + 1, refused);
                }
            }
            _ => json.skip(),
        }
    }
    let damaged = |problem| Err(TokenizerError::Damaged { part: "pre_tokenizer", problem });
    let cut = match kind.as_deref() {
        Some("Sequence") => return,
        _ if cuts.len() > before => damaged("has pretokenizers, but is no Sequence"),
        Some("BertPreTokenizer") => Ok(Cut::Bert),
        Some("WhitespaceSplit") => Ok(Cut::WhitespaceSplit),
        Some("Whitespace") => Ok(Cut::Whitespace),
        Some("Punctuation") if behavior.as_deref().is_none_or(|behavior| behavior == "Isolated") => {
            Ok(Cut::Punctuation)
        }
        Some("Metaspace") => match replacement {
            // Files older than prepend_scheme say only this.
            Some(replacement) if prefix_space == Some(false) => {
                Ok(Cut::Metaspace { replacement, prepend: Prepend::Never, split })
            }
            Some(replacement) => Ok(Cut::Metaspace { replacement, prepend, split }),
            None => damaged("lacks replacement"),
        },
        #[cfg(feature = "bpe")]
        Some("ByteLevel") => Ok(Cut::ByteLevel(ByteLevel::new(prefix_space.unwrap_or(true), use_regex))),
        #[cfg(not(feature = "bpe"))]
        Some("ByteLevel") => Err(TokenizerError::Feature { part: "pre_tokenizer", found: "ByteLevel", feature: "bpe" }),
        _ => {
            let works = "BertPreTokenizer, ByteLevel, Metaspace, Punctuation (Isolated), Whitespace, WhitespaceSplit and \
                         Sequences of these";
            Err(unsupported("pre_tokenizer", kind, works))
        }
    };
    match cut {
        Ok(cut) => cuts.push(cut),
        Err(error) => drop(refused.get_or_insert(error)),
    }
}
