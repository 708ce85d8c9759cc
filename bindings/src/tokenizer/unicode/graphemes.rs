//! Extended grapheme clusters: what a reader takes for one character (Unicode Annex 29).
//!
//! Flags of regional indicators are left in two, because all that asks is about clusters of less than six bytes, and
//! these take eight.

use super::tables::Runs;

/// Classes as the table has them: values of Grapheme_Cluster_Break, Extended_Pictographic and Indic_Conjunct_Break.
pub(super) const CONTROL: u32 = 1;
pub(super) const EXTEND: u32 = 2;
/// Extend, and goes between the consonants of a conjunct without joining them.
pub(super) const CONJUNCT_EXTEND: u32 = 3;
/// Extend, and joins the consonants of a conjunct.
pub(super) const LINKER: u32 = 4;
pub(super) const SPACING_MARK: u32 = 5;
pub(super) const PREPEND: u32 = 6;
pub(super) const PICTOGRAPH: u32 = 7;
pub(super) const CONSONANT: u32 = 8;
/// Hangul: leading consonant, vowel, trailing consonant, syllables without and with a trailing consonant.
pub(super) const L: u32 = 9;
pub(super) const V: u32 = 10;
pub(super) const T: u32 = 11;
const LV: u32 = 12;
const LVT: u32 = 13;
const ZWJ: u32 = 14;

/// The table, unpacked.
pub(crate) struct Graphemes(Runs);

impl Graphemes {
    pub fn new() -> Self {
        Graphemes(Runs::new(include_bytes!("graphemes.bin")))
    }

    fn class(&self, c: char) -> u32 {
        match c {
            '\u{200d}' => ZWJ,
            '가'..='힣' => {
                if (u32::from(c) - 0xac00).is_multiple_of(28) {
                    LV
                } else {
                    LVT
                }
            }
            ' '..='~' => 0,
            _ => self.0.get(c),
        }
    }

    /// Bytes of the first cluster of a text.
    pub fn first(&self, text: &str) -> usize {
        let mut chars = text.char_indices();
        let Some((_, mut before)) = chars.next() else { return 0 };
        let mut left = self.class(before);
        // After a pictograph and Extend: a joiner then joins another pictograph.
        let mut pictograph = left == PICTOGRAPH;
        // After a consonant, and after a linker that followed it.
        let (mut consonant, mut linked) = (left == CONSONANT, false);
        for (at, c) in chars {
            let right = self.class(c);
            let joined = match (left, right) {
                (CONTROL, _) => before == '\r' && c == '\n',
                (_, CONTROL) => false,
                (_, EXTEND | CONJUNCT_EXTEND | LINKER | ZWJ | SPACING_MARK) => true,
                (PREPEND, _) | (L, L | V | LV | LVT) | (LV | V, V | T) | (LVT | T, T) => true,
                (ZWJ, PICTOGRAPH) => pictograph,
                (_, CONSONANT) => linked,
                _ => false,
            };
            if !joined {
                return at;
            }
            pictograph = right == PICTOGRAPH
                || pictograph && left != ZWJ && matches!(right, EXTEND | CONJUNCT_EXTEND | LINKER | ZWJ);
            linked = consonant && (right == LINKER || linked && matches!(right, CONJUNCT_EXTEND | ZWJ));
            consonant = right == CONSONANT || consonant && matches!(right, CONJUNCT_EXTEND | LINKER | ZWJ);
            (before, left) = (c, right);
        }
        text.len()
    }
}
