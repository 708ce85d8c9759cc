//! Normalizers: what is done to a text before it is cut into words.

use super::bert::BertNormalizer;
#[cfg(feature = "unigram")]
use super::charsmap::Charsmap;
use super::unicode::Unicode;
#[cfg(feature = "subword")]
use super::unicode::forms::{Form, Forms};
use super::{TokenizerError, unsupported};
use crate::json::Json;
use std::borrow::Cow;

/// One thing to do.
pub(crate) enum Step {
    Bert(BertNormalizer),
    #[cfg(feature = "subword")]
    Lowercase,
    #[cfg(feature = "subword")]
    StripAccents(Forms),
    /// Remove whitespace at the ends.
    #[cfg(feature = "subword")]
    Strip {
        left: bool,
        right: bool,
    },
    #[cfg(feature = "subword")]
    Form(Form, Forms),
    #[cfg(feature = "subword")]
    Replace {
        pattern: Pattern,
        content: String,
    },
    /// Put in front of a text that is not empty.
    #[cfg(feature = "subword")]
    Prepend(String),
    #[cfg(feature = "unigram")]
    Charsmap(Charsmap),
}

/// What is replaced. Of regular expressions there are those that tokenizers have.
#[cfg(feature = "subword")]
pub(crate) enum Pattern {
    Text(String),
    /// So many or more of spaces, or of any whitespace.
    Spaces {
        least: usize,
        any: bool,
    },
}

/// Things to do one after the other.
#[derive(Default)]
pub(crate) struct Normalizer {
    pub steps: Vec<Step>,
}

impl Normalizer {
    /// Whether all that matters for a word is within it, so that a text may be normalized in parts.
    pub fn is_local(&self) -> bool {
        matches!(self.steps[..], [] | [Step::Bert(_)])
    }

    /// Gives the normalized text. `at_start` says whether a text's first character is the beginning of everything; it is
    /// cleared if that is removed.
    pub fn normalize<'a>(&self, unicode: &Unicode, text: &'a str, at_start: &mut bool) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for step in &self.steps {
            text = Cow::Owned(step.apply(unicode, &text, at_start));
        }
        text
    }

    /// Reads the `normalizer` of a tokenizer file. What is not supported is noted.
    pub fn read(json: &mut Json<'_>, refused: &mut Option<TokenizerError>) -> Self {
        let mut steps = Vec::new();
        if !json.null() {
            read_into(json, &mut steps, 0, refused);
        }
        Normalizer { steps }
    }
}

impl Step {
    #[cfg_attr(not(feature = "subword"), allow(unused_variables, reason = "BERT's words do not care"))]
    fn apply(&self, unicode: &Unicode, text: &str, at_start: &mut bool) -> String {
        let mut out = String::with_capacity(text.len());
        match self {
            Step::Bert(bert) => bert.normalize(unicode, text, &mut out),
            #[cfg(feature = "subword")]
            Step::Lowercase => text.chars().for_each(|c| unicode.push_lower(c, &mut out)),
            #[cfg(feature = "subword")]
            Step::StripAccents(forms) => {
                *at_start &= !text.starts_with(|c| forms.is_mark(c));
                out.extend(text.chars().filter(|&c| !forms.is_mark(c)));
            }
            #[cfg(feature = "subword")]
            Step::Strip { left, right } => {
                *at_start &= !(*left && text.starts_with(char::is_whitespace));
                let text = if *left { text.trim_start() } else { text };
                out.push_str(if *right { text.trim_end() } else { text });
            }
            #[cfg(feature = "subword")]
            Step::Form(_, _) if text.is_ascii() => out.push_str(text),
            #[cfg(feature = "subword")]
            Step::Form(form, forms) => return forms.normalize(*form, text),
            #[cfg(feature = "subword")]
            Step::Replace { pattern, content } => {
                let mut rest = text;
                while let Some((start, end)) = pattern.find(rest) {
                    let (before, found) =
                        rest.get(..end).and_then(|head| head.split_at_checked(start)).unwrap_or_default();
                    // A replacement is where the last character was.
                    if out.is_empty() && start == 0 && (content.is_empty() || found.chars().count() > 1) {
                        *at_start = false;
                    }
                    out.push_str(before);
                    out.push_str(content);
                    rest = rest.get(end..).unwrap_or_default();
                }
                out.push_str(rest);
            }
            #[cfg(feature = "subword")]
            Step::Prepend(prefix) => {
                if !text.is_empty() {
                    out.push_str(prefix);
                    out.push_str(text);
                }
            }
            #[cfg(feature = "unigram")]
            Step::Charsmap(map) => return map.normalize(text),
        }
        out
    }
}

#[cfg(feature = "subword")]
impl Pattern {
    /// The pattern of a regular expression, if it is one of those known.
    fn of_regex(regex: &str) -> Option<Self> {
        let (any, count) = match regex.strip_prefix(r"\s") {
            Some(count) => (true, count),
            None => (false, regex.strip_prefix(' ')?),
        };
        let least = match count {
            "" => return (!any).then(|| Pattern::Text(" ".into())),
            "+" | "{1,}" => 1,
            _ => count.strip_prefix('{')?.strip_suffix(",}")?.parse().ok().filter(|&least| least > 0)?,
        };
        Some(Pattern::Spaces { least, any })
    }

    /// Bounds of the first match.
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        match self {
            // Not by str::find, of which the search alone takes two kilobytes.
            Pattern::Text(pattern) => {
                let mut windows = text.as_bytes().windows(pattern.len());
                windows.position(|window| window == pattern.as_bytes()).map(|start| (start, start + pattern.len()))
            }
            Pattern::Spaces { least, any } => {
                let matches = |c: char| c == ' ' || *any && c.is_whitespace();
                let mut from = 0;
                loop {
                    let start = from + text.get(from..)?.find(matches)?;
                    let rest = text.get(start..)?;
                    let end = rest.find(|c| !matches(c)).unwrap_or(rest.len());
                    if rest.get(..end)?.chars().count() >= *least {
                        return Some((start, start + end));
                    }
                    from = start + end;
                }
            }
        }
    }
}

/// Appends what an object describes, which may be a sequence.
#[cfg_attr(not(feature = "subword"), allow(unused_variables, reason = "there are no sequences"))]
fn read_into(json: &mut Json<'_>, steps: &mut Vec<Step>, depth: u32, refused: &mut Option<TokenizerError>) {
    let mut kind = None;
    let (mut clean_text, mut handle_chinese_chars, mut strip_accents, mut lowercase) = (true, true, None, true);
    #[cfg(feature = "subword")]
    let mut other = Other::default();
    json.object();
    while let Some(key) = json.next_key() {
        match &*key {
            "type" => kind = Some(json.text()),
            "clean_text" => clean_text = json.bool(),
            "handle_chinese_chars" => handle_chinese_chars = json.bool(),
            "strip_accents" => strip_accents = if json.null() { None } else { Some(json.bool()) },
            "lowercase" => lowercase = json.bool(),
            #[cfg(feature = "subword")]
            key => other.read(key, json, depth, refused),
            #[cfg(not(feature = "subword"))]
            _ => json.skip(),
        }
    }
    if kind.as_deref() == Some("BertNormalizer") {
        let strip_accents = strip_accents.unwrap_or(lowercase);
        return steps.push(Step::Bert(BertNormalizer { clean_text, handle_chinese_chars, strip_accents, lowercase }));
    }
    #[cfg(feature = "subword")]
    if let Err(error) = other.into_steps(kind, steps) {
        refused.get_or_insert(error);
    }
    #[cfg(not(feature = "subword"))]
    refused.get_or_insert(unsupported("normalizer", kind, "BertNormalizer and null"));
}

/// What the normalizers other than BERT's have in a file.
#[cfg(feature = "subword")]
#[derive(Default)]
struct Other {
    left: bool,
    right: bool,
    text: Option<String>,
    regex: Option<String>,
    content: String,
    prepend: String,
    #[cfg(feature = "unigram")]
    charsmap: Option<Charsmap>,
    parts: Vec<Step>,
}

#[cfg(feature = "subword")]
impl Other {
    fn read(&mut self, key: &str, json: &mut Json<'_>, depth: u32, refused: &mut Option<TokenizerError>) {
        match key {
            "strip_left" => self.left = json.bool(),
            "strip_right" => self.right = json.bool(),
            "content" => self.content = json.text(),
            "prepend" => self.prepend = json.text(),
            "pattern" => {
                json.object();
                while let Some(key) = json.next_key() {
                    match &*key {
                        "String" => self.text = Some(json.text()),
                        "Regex" => self.regex = Some(json.text()),
                        _ => json.skip(),
                    }
                }
            }
            #[cfg(feature = "unigram")]
            "precompiled_charsmap" if json.peek() != b'n' => self.charsmap = Charsmap::new(&json.string()),
            "normalizers" => {
                super::open_sequence(json, depth);
                while json.next_item() {
                    read_into(json, &mut self.parts, depth + 1, refused);
                }
            }
            _ => json.skip(),
        }
    }

    fn into_steps(self, kind: Option<String>, steps: &mut Vec<Step>) -> Result<(), TokenizerError> {
        let damaged = |problem| Err(TokenizerError::Damaged { part: "normalizer", problem });
        let form = |compatible, composed| Step::Form(Form { compatible, composed }, Forms::new());
        steps.push(match kind.as_deref() {
            Some("Sequence") => {
                steps.extend(self.parts);
                return Ok(());
            }
            Some("Lowercase") => Step::Lowercase,
            Some("StripAccents") => Step::StripAccents(Forms::new()),
            Some("Strip") => Step::Strip { left: self.left, right: self.right },
            Some("NFC") => form(false, true),
            Some("NFD") => form(false, false),
            #[cfg(feature = "unigram")]
            Some("NFKC") => form(true, true),
            #[cfg(feature = "unigram")]
            Some("NFKD") => form(true, false),
            Some("Prepend") => Step::Prepend(self.prepend),
            Some("Replace") => {
                let pattern = match (self.text, self.regex) {
                    (Some(text), _) if !text.is_empty() => Pattern::Text(text),
                    (_, Some(regex)) => match Pattern::of_regex(&regex) {
                        Some(pattern) => pattern,
                        None => {
                            let works = "Replace of a String, or of a Regex of spaces such as ' {2,}' and '\\s+'";
                            let found = Some("Replace of the Regex ".to_string() + &regex);
                            return Err(unsupported("normalizer", found, works));
                        }
                    },
                    _ => return damaged("replaces nothing"),
                };
                Step::Replace { pattern, content: self.content }
            }
            #[cfg(feature = "unigram")]
            Some("Precompiled") => match self.charsmap {
                Some(map) => Step::Charsmap(map),
                None => return damaged("has no valid precompiled_charsmap"),
            },
            #[cfg(not(feature = "unigram"))]
            Some("Precompiled" | "NFKC" | "NFKD") => {
                let found = "Precompiled, NFKC or NFKD";
                return Err(TokenizerError::Feature { part: "normalizer", found, feature: "unigram" });
            }
            _ => {
                let works = "BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Precompiled, Prepend, Replace, Strip, \
                             StripAccents and Sequences of these";
                return Err(unsupported("normalizer", kind, works));
            }
        });
        Ok(())
    }
}
