//! Unicode's normalization forms, and what is a combining mark.
//!
//! As for BERT's normalizer, the tables are those of the program that normalized the training text: Unicode 9. They are
//! unpacked only for a tokenizer that asks for a form.

use super::tables::{Runs, rows};

/// A normalization form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Form {
    /// Compatibility decomposition: a ligature becomes its letters.
    pub compatible: bool,
    /// Composition follows.
    pub composed: bool,
}

const HANGUL: u32 = 0xac00;
const HANGUL_COUNT: u32 = 11172;
/// First leading consonant, first vowel, what is before the first trailing consonant.
const L: u32 = 0x1100;
const V: u32 = 0x1161;
const T: u32 = 0x11a7;

/// The tables, unpacked.
pub(crate) struct Forms {
    /// Combining class, shifted by one, plus one for a combining mark.
    combining: Runs,
    canonical: Decompositions,
    /// Of characters that have no canonical one.
    #[cfg(feature = "unigram")]
    compatible: Decompositions,
    /// Two characters in one number, and what composition makes of them. Ascending.
    compositions: Vec<(u64, u32)>,
}

impl Forms {
    pub fn new() -> Self {
        let canonical = Decompositions::new(include_bytes!("canonical.bin"), include_str!("canonical.txt"));
        Forms {
            combining: Runs::new(include_bytes!("combining.bin")),
            compositions: canonical.invert(),
            canonical,
            #[cfg(feature = "unigram")]
            compatible: Decompositions::new(include_bytes!("compatible.bin"), include_str!("compatible.txt")),
        }
    }

    /// Whether the character is of the categories Mn, Mc, Me.
    pub fn is_mark(&self, c: char) -> bool {
        self.combining.get(c) & 1 == 1
    }

    fn class(&self, c: char) -> u32 {
        self.combining.get(c) >> 1
    }

    /// The text in a form.
    pub fn normalize(&self, form: Form, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut waiting = Vec::new();
        for c in text.chars() {
            self.decompose(c, form.compatible, &mut |c| {
                let class = self.class(c);
                if class == 0 {
                    flush(&mut waiting, &mut out);
                    out.push(c);
                } else {
                    waiting.push((class, c));
                }
            });
        }
        flush(&mut waiting, &mut out);
        if form.composed { self.compose(&out) } else { out }
    }

    fn decompose(&self, c: char, compatible: bool, f: &mut dyn FnMut(char)) {
        let code = u32::from(c);
        if code < 0xa0 {
            return f(c);
        }
        if let Some(syllable @ ..HANGUL_COUNT) = code.checked_sub(HANGUL) {
            let jamo = [L + syllable / 588, V + syllable % 588 / 28, T + syllable % 28];
            let count = if syllable % 28 == 0 { 2 } else { 3 };
            return jamo.iter().take(count).filter_map(|&jamo| char::from_u32(jamo)).for_each(f);
        }
        match self.canonical.get(c) {
            // What it gives may have a compatible decomposition, but no other canonical one.
            Some(text) => text.chars().for_each(|c| if compatible { self.decompose_compatible(c, f) } else { f(c) }),
            None if compatible => self.decompose_compatible(c, f),
            None => f(c),
        }
    }

    fn decompose_compatible(&self, c: char, f: &mut dyn FnMut(char)) {
        #[cfg(feature = "unigram")]
        if let Some(text) = self.compatible.get(c) {
            return text.chars().for_each(f);
        }
        f(c);
    }

    /// Composes what has been decomposed and ordered.
    fn compose(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut starter: Option<char> = None;
        // What did not combine with the starter, and the class of the last one.
        let mut after = String::new();
        let mut last = 0;
        for c in text.chars() {
            let class = self.class(c);
            if let Some(first) = starter
                && (after.is_empty() || class > last)
                && let Some(both) = self.pair(first, c)
            {
                starter = Some(both);
            } else if class == 0 {
                out.extend(starter.replace(c));
                out.push_str(&after);
                after.clear();
            } else if starter.is_none() {
                out.push(c);
            } else {
                after.push(c);
                last = class;
            }
        }
        out.extend(starter);
        out + &after
    }

    /// What two characters compose to.
    fn pair(&self, first: char, second: char) -> Option<char> {
        let (a, b) = (u32::from(first), u32::from(second));
        if let (Some(l @ ..19), Some(v @ ..21)) = (a.checked_sub(L), b.checked_sub(V)) {
            return char::from_u32(HANGUL + (l * 21 + v) * 28);
        }
        if let (Some(syllable @ ..HANGUL_COUNT), Some(t @ 1..28)) = (a.checked_sub(HANGUL), b.checked_sub(T))
            && syllable % 28 == 0
        {
            return char::from_u32(a + t);
        }
        let key = u64::from(a) << 32 | u64::from(b);
        let place = self.compositions.binary_search_by_key(&key, |pair| pair.0).ok()?;
        char::from_u32(self.compositions.get(place)?.1)
    }
}

/// Characters with the text that each is decomposed to, in full.
struct Decompositions {
    /// Character, shifted by one, plus one if composition does not make it; and where its text ends. Ascending.
    rows: Vec<(u32, u32)>,
    text: &'static str,
}

impl Decompositions {
    fn new(table: &[u8], text: &'static str) -> Self {
        let (mut code, mut end) = (0, 0);
        let row = |[gap, length, excluded]: [u32; 3]| {
            code += gap;
            end += length;
            (code << 1 | excluded, end)
        };
        Decompositions { rows: rows(table).map(row).collect(), text }
    }

    fn text(&self, row: usize) -> &'static str {
        let end = |row: usize| self.rows.get(row).map_or(0, |row| row.1 as usize);
        let start = row.checked_sub(1).map_or(0, end);
        self.text.get(start..end(row)).unwrap_or_default()
    }

    fn get(&self, c: char) -> Option<&'static str> {
        let row = self.rows.binary_search_by_key(&u32::from(c), |row| row.0 >> 1).ok()?;
        Some(self.text(row))
    }

    /// Finds the compositions: a character is composed of the last one of its decomposition, and of what the ones before
    /// it compose to.
    fn invert(&self) -> Vec<(u64, u32)> {
        let code = |row: usize| self.rows.get(row).map(|row| row.0).filter(|code| code & 1 == 0).map(|code| code >> 1);
        let mut compositions: Vec<(u64, u32)> = Vec::new();
        for row in 0..self.rows.len() {
            let mut before = self.text(row).chars();
            let (Some(composed), Some(last)) = (code(row), before.next_back()) else { continue };
            let before = before.as_str();
            let mut chars = before.chars();
            let first = match (chars.next(), chars.next()) {
                (Some(first), None) => Some(u32::from(first)),
                (None, _) => None,
                _ => (0..self.rows.len()).find(|&row| self.text(row) == before).and_then(code),
            };
            if let Some(first) = first {
                let pair = u64::from(first) << 32 | u64::from(last);
                let place = compositions.partition_point(|other| other.0 < pair);
                compositions.insert(place, (pair, composed));
            }
        }
        compositions
    }
}

/// Appends combining characters in the order of their classes, those of one class as they came. There are 54 classes,
/// so a text of nothing but combining characters is no worse than 54 passes over it.
fn flush(waiting: &mut Vec<(u32, char)>, out: &mut String) {
    let mut last = 0;
    while let Some(class) = waiting.iter().map(|&(class, _)| class).filter(|&class| class > last).min() {
        out.extend(waiting.iter().filter(|waiting| waiting.0 == class).map(|&(_, c)| c));
        last = class;
    }
    waiting.clear();
}
