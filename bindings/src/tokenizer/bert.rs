//! BERT's normalizer: cleaning, spaces around CJK ideographs, accents, lower case, in one pass over the characters.
//!
//! The reference makes four passes over the whole text. All of them work character by character except one: canonical
//! decomposition sorts the combining characters between two base characters. Of these, accent stripping leaves only
//! those of six combining classes, so six small buffers replace the sort, and nothing a text may contain makes it slow.

use super::unicode::{ORDERS, Order, Unicode};

/// The switches of `BertNormalizer`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BertNormalizer {
    /// Remove control characters and U+FFFD; make every whitespace a space.
    pub clean_text: bool,
    /// Put a space on both sides of CJK ideographs.
    pub handle_chinese_chars: bool,
    /// Decompose and remove nonspacing marks.
    pub strip_accents: bool,
    /// Make it lower case.
    pub lowercase: bool,
}

impl BertNormalizer {
    /// Appends the normalized text. Normalizing two texts apart and together is the same if the second starts with a
    /// character that neither is removed nor combines, such as a space.
    pub fn normalize(self, unicode: &Unicode, text: &str, out: &mut String) {
        let mut writer = Writer { unicode, normalizer: self, out, ranked: Default::default(), waiting: false };
        for c in text.chars() {
            if c.is_ascii() {
                match c {
                    '\t' | '\n' | '\r' if self.clean_text => writer.push_starter(' '),
                    '\0'..' ' | '\x7f' if self.clean_text => {}
                    _ => writer.push_starter(c),
                }
            } else if self.clean_text && (c == '\u{fffd}' || unicode.class(c).is_other()) {
            } else if self.clean_text && c.is_whitespace() {
                writer.push_starter(' ');
            } else if self.handle_chinese_chars && is_ideograph(c) {
                writer.push_starter(' ');
                writer.push(c);
                writer.push_starter(' ');
            } else {
                writer.push(c);
            }
        }
        writer.flush();
    }
}

struct Writer<'a> {
    unicode: &'a Unicode,
    normalizer: BertNormalizer,
    out: &'a mut String,
    /// Combining characters since the last starter, by the rank of their class.
    ranked: [String; ORDERS],
    /// Whether there are any.
    waiting: bool,
}

impl Writer<'_> {
    fn push(&mut self, c: char) {
        if !self.normalizer.strip_accents {
            return self.push_starter(c);
        }
        let unicode = self.unicode;
        unicode.decompose(c, |c| match unicode.class(c).order() {
            Order::Starter => self.push_starter(c),
            Order::Removed => {}
            Order::RemovedStarter => self.flush(),
            Order::Ranked(rank) => {
                self.waiting = true;
                if let Some(buffer) = self.ranked.get_mut(rank) {
                    push(unicode, self.normalizer.lowercase, c, buffer);
                }
            }
        });
    }

    fn push_starter(&mut self, c: char) {
        self.flush();
        push(self.unicode, self.normalizer.lowercase, c, self.out);
    }

    fn flush(&mut self) {
        if self.waiting {
            for buffer in &mut self.ranked {
                self.out.push_str(buffer);
                buffer.clear();
            }
            self.waiting = false;
        }
    }
}

fn push(unicode: &Unicode, lowercase: bool, c: char, out: &mut String) {
    if lowercase { unicode.push_lower(c, out) } else { out.push(c) }
}

/// The blocks of ideographs as the reference lists them, which is not quite as Unicode does.
fn is_ideograph(c: char) -> bool {
    matches!(
        u32::from(c),
        0x3400..=0x4dbf
            | 0x4e00..=0x9fff
            | 0xf900..=0xfaff
            | 0x20000..=0x2a6df
            | 0x2a700..=0x2b81f
            | 0x2b920..=0x2ceaf
            | 0x2f800..=0x2fa1f
    )
}
