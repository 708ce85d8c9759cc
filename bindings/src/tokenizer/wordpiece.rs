//! From normalized text to ids: words, then the longest known pieces of each.

use super::unicode::Unicode;
use super::vocab::Vocab;

/// The pieces, and how they are joined to words.
pub(crate) struct WordPiece {
    pub vocab: Vocab,
    /// What stands before a piece that continues a word, as `##`.
    pub prefix: String,
    /// Stands for a word that cannot be put together.
    pub unk: u32,
    /// A longer word is unknown without a look at it.
    pub max_chars: usize,
}

impl WordPiece {
    /// Appends the ids of a text, until there are `limit` or a few more.
    pub fn encode(&self, unicode: &Unicode, text: &str, limit: usize, ids: &mut Vec<i64>) {
        let mut words = Words { unicode, rest: text };
        while ids.len() < limit
            && let Some(word) = words.next()
        {
            self.encode_word(word, ids);
        }
    }

    /// Takes the longest piece that the rest of the word starts with, again and again. If there is none at some point,
    /// the word as a whole is unknown.
    fn encode_word(&self, word: &str, ids: &mut Vec<i64>) {
        let before = ids.len();
        let too_long = word.len() > self.max_chars && word.chars().count() > self.max_chars;
        let mut rest = if too_long { None } else { Some(word.as_bytes()) };
        let mut head: &[u8] = b"";
        while let Some(text) = rest
            && !text.is_empty()
        {
            rest = self.vocab.longest_prefix(head, text).and_then(|(length, id)| {
                ids.push(i64::from(id));
                text.get(length..)
            });
            head = self.prefix.as_bytes();
        }
        if rest.is_none() {
            ids.truncate(before);
            ids.push(i64::from(self.unk));
        }
    }
}

/// BERT's words: whitespace separates them, and each punctuation character is a word of its own.
struct Words<'a> {
    unicode: &'a Unicode,
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start();
        let first = text.chars().next()?;
        let end = if self.is_punctuation(first) {
            first.len_utf8()
        } else {
            text.find(|c: char| c.is_whitespace() || self.is_punctuation(c)).unwrap_or(text.len())
        };
        let (word, rest) = text.split_at_checked(end)?;
        self.rest = rest;
        Some(word)
    }
}

impl Words<'_> {
    fn is_punctuation(&self, c: char) -> bool {
        if c.is_ascii() { c.is_ascii_punctuation() } else { self.unicode.class(c).is_punctuation() }
    }
}
