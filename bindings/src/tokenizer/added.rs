//! Added tokens: strings such as `[SEP]` that are found in a text as they stand, before it is cut into words.

use super::unicode::Unicode;
use super::vocab::Vocab;

/// An added token as tokenizer files describe it.
#[derive(Clone, Default, Debug)]
pub(crate) struct AddedToken {
    /// The string to be found.
    pub content: String,
    /// Is found only where no letter, digit or the like is next to it.
    pub single_word: bool,
    /// Takes the whitespace before it along.
    pub lstrip: bool,
    /// Takes the whitespace after it along.
    pub rstrip: bool,
    /// Is looked for, in its normalized form, in normalized text; else as it is in the text as given.
    pub normalized: bool,
    /// Wins where the normalized forms of two tokens are equal.
    pub special: bool,
}

/// Finds tokens in a text: the leftmost first, of several at one place the longest.
#[derive(Default)]
pub(crate) struct Matcher {
    /// Content to index.
    contents: Vocab,
    tokens: Vec<Found>,
    /// A bit for each byte that a content starts with.
    first: [u32; 8],
}

/// What is done where a token is found.
struct Found {
    id: u32,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
}

impl Matcher {
    /// Adds a token, found as `content`, unless there is one that is found so.
    pub fn insert(&mut self, content: &str, id: u32, token: &AddedToken) {
        if let Some(&first) = content.as_bytes().first()
            && self.contents.get(content).is_none()
        {
            self.contents.insert(content, self.tokens.len() as u32);
            let &AddedToken { single_word, lstrip, rstrip, .. } = token;
            self.tokens.push(Found { id, single_word, lstrip, rstrip });
            self.first[usize::from(first >> 5)] |= 1 << (first & 31);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Cuts a text into tokens and what is between them.
    pub fn split<'a>(&'a self, unicode: &'a Unicode, text: &'a str) -> Split<'a> {
        Split { matcher: self, unicode, text, search: 0, given: 0, token: None }
    }

    /// Bounds of the next content at or after `from`, and the token.
    fn find(&self, text: &str, mut from: usize) -> Option<(usize, usize, &Found)> {
        loop {
            let rest = text.as_bytes().get(from..)?;
            from += rest.iter().position(|&byte| self.first[usize::from(byte >> 5)] >> (byte & 31) & 1 == 1)?;
            if let Some((length, index)) = self.contents.longest_prefix(b"", text.as_bytes().get(from..)?) {
                return Some((from, from + length, self.tokens.get(index as usize)?));
            }
            from += 1;
        }
    }
}

/// A part of a text.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Part<'a> {
    Token(u32),
    Text(&'a str),
}

/// Iterates over the parts of a text.
pub(crate) struct Split<'a> {
    matcher: &'a Matcher,
    unicode: &'a Unicode,
    text: &'a str,
    /// Where to look on. Whitespace that a token takes along is looked through nevertheless.
    search: usize,
    /// Up to where the text has been given out.
    given: usize,
    /// A token to be given out after the text before it.
    token: Option<u32>,
}

impl<'a> Iterator for Split<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if let Some(id) = self.token.take() {
            return Some(Part::Token(id));
        }
        while let Some((mut start, mut end, token)) = self.matcher.find(self.text, self.search) {
            self.search = end;
            let before = self.text.get(..start)?;
            let after = self.text.get(end..)?;
            let is_word = |c: Option<char>| c.is_some_and(|c| self.unicode.class(c).is_word());
            if token.single_word && (is_word(before.chars().next_back()) || is_word(after.chars().next())) {
                continue;
            }
            if token.lstrip {
                start = self.given.max(before.trim_end().len());
            }
            if token.rstrip {
                end += after.len() - after.trim_start().len();
            }
            let text = self.text.get(self.given..start).unwrap_or_default();
            self.given = end;
            // Nothing is left of a token of whitespace if the one before it took that along.
            let token = (start < end).then_some(token.id);
            if text.is_empty() && token.is_some() {
                return token.map(Part::Token);
            }
            if !text.is_empty() {
                self.token = token;
                return Some(Part::Text(text));
            }
        }
        let rest = self.text.get(self.given..).unwrap_or_default();
        self.given = self.text.len();
        self.search = self.given;
        if rest.is_empty() { None } else { Some(Part::Text(rest)) }
    }
}
