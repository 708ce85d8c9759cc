//! Byte-level words: GPT-2's pattern cuts a text, then each byte is written as a character that can be seen.
//!
//! The pattern is `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: endings after an
//! apostrophe; letters, numbers or anything else with at most one space before; whitespace, of which the last character
//! is left to the word after it.

use super::unicode::tables::Runs;

/// The pre-tokenizer `ByteLevel`.
pub(crate) struct ByteLevel {
    /// Put a space in front of text that has none there.
    prefix_space: bool,
    /// Letters are 1, numbers 2, anything else 0; `None` if words are not cut.
    letters: Option<Runs>,
}

const ENDINGS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Letter,
    Number,
    Other,
}

impl ByteLevel {
    pub fn new(prefix_space: bool, use_regex: bool) -> Self {
        let letters = use_regex.then(|| Runs::new(include_bytes!("unicode/letters.bin")));
        ByteLevel { prefix_space, letters }
    }

    /// Calls `each` with the words of a text, until it gives false; gives false if it did.
    pub fn cut(&self, text: &str, each: &mut dyn FnMut(&str) -> bool) -> bool {
        let mut prefix = self.prefix_space && !text.starts_with(' ');
        let mut rest = text;
        let mut word = String::new();
        while !rest.is_empty() {
            word.clear();
            let (now, after) = rest.split_at_checked(self.word(rest, prefix)).unwrap_or((rest, ""));
            if prefix {
                word.push(visible(b' '));
                prefix = false;
            }
            word.extend(now.bytes().map(visible));
            if !each(&word) {
                return false;
            }
            rest = after;
        }
        true
    }

    /// Bytes of the first word of a text, which a space may have to be thought in front of. That space is not counted;
    /// it is never a word by itself, unless whitespace follows it.
    fn word(&self, text: &str, prefix: bool) -> usize {
        let Some(letters) = &self.letters else { return text.len() };
        if !prefix && let Some(ending) = ENDINGS.iter().find(|ending| text.starts_with(**ending)) {
            return ending.len();
        }
        let has_space = !prefix && text.starts_with(' ');
        let start = usize::from(has_space);
        let kind = |c: char| kind(letters, c);
        let body = text.get(start..).unwrap_or_default();
        let run = |text: &str, of: Kind| text.find(|c| kind(c) != of).unwrap_or(text.len());
        match body.chars().next().map(kind) {
            Some(Kind::Space) | None => {
                let end = run(text, Kind::Space);
                let last = text.get(..end).and_then(|space| space.chars().next_back()).map_or(0, char::len_utf8);
                // The last one goes with what follows, if anything does and there are others.
                if end < text.len() && (prefix || end > last) { end - last } else { end }
            }
            Some(of) => start + run(body, of),
        }
    }
}

fn kind(letters: &Runs, c: char) -> Kind {
    match c {
        'a'..='z' | 'A'..='Z' => Kind::Letter,
        '0'..='9' => Kind::Number,
        _ if c.is_whitespace() => Kind::Space,
        ..='\x7f' => Kind::Other,
        _ => match letters.get(c) {
            0 => Kind::Other,
            1 => Kind::Letter,
            _ => Kind::Number,
        },
    }
}

/// The character that stands for a byte: itself if it is visible in Latin-1, else the next one from U+0100.
fn visible(byte: u8) -> char {
    let code = u32::from(byte);
    let code = match code {
        0..0x21 => 0x100 + code,
        0x7f..0xa1 => 0x121 + code - 0x7f,
        0xad => 0x143,
        _ => code,
    };
    char::from_u32(code).unwrap_or_default()
}
