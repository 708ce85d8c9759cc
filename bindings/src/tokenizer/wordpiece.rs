//! WordPiece: a word is cut into the longest known pieces.

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
    /// Takes the longest piece that the rest of the word starts with, again and again. If there is none at some point,
    /// the word as a whole is unknown.
    pub fn encode(&self, word: &str, ids: &mut Vec<i64>) {
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
