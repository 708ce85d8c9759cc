//! What BERT's normalizer asks of Unicode: categories, canonical decomposition without marks, lower case.
//!
//! A vocabulary was trained on text that one particular program had normalized, so the answers of that program, old
//! tables and all, are the right ones: categories of an old Unicode, decompositions of Unicode 9, lower case and `\w` of
//! a recent one. The tables have only what is asked for, as columns of differences that take 2.4 KB in a compressed
//! module (lower case alone takes 4.2 KB by way of the standard library), and are unpacked when a tokenizer is made; the
//! largest, decompositions, is JavaScript's where there is that.
//! Tests hold every character to the crates that the Hugging Face `tokenizers` library uses, and write the tables.

#[cfg_attr(all(target_arch = "wasm32", target_os = "unknown"), path = "host.rs")]
mod decompositions;
#[cfg(feature = "subword")]
pub(crate) mod forms;
#[cfg(feature = "unigram")]
pub(crate) mod graphemes;
#[cfg(all(test, not(target_arch = "wasm32"), feature = "bpe", feature = "unigram"))]
mod subword_tests;
pub(crate) mod tables;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use decompositions::Decompositions;
use tables::{Runs, rows, signed};

/// What the normalizer does with a character, and whether it is part of a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Class(u8);

// A class is one of these kinds, or 0, shifted by one, plus one for `\w`.

/// Control, format and private use characters, which cleaning removes.
const OTHER: u8 = 1;
const PUNCTUATION: u8 = 2;
/// A nonspacing mark, which accent stripping removes.
const MARK: u8 = 3;
/// A nonspacing mark that canonical ordering moves nothing across.
const MARK_STARTER: u8 = 4;
/// The first of the [`ORDERS`] kinds that are kept and take part in canonical ordering.
const ORDERED: u8 = 5;
/// How many combining classes there are among characters that accent stripping keeps.
pub(crate) const ORDERS: usize = 6;

impl Class {
    pub fn is_other(self) -> bool {
        self.0 >> 1 == OTHER
    }

    pub fn is_punctuation(self) -> bool {
        self.0 >> 1 == PUNCTUATION
    }

    /// `\w` of regular expressions.
    pub fn is_word(self) -> bool {
        self.0 & 1 == 1
    }

    pub fn order(self) -> Order {
        match self.0 >> 1 {
            MARK => Order::Removed,
            MARK_STARTER => Order::RemovedStarter,
            kind => kind.checked_sub(ORDERED).map_or(Order::Starter, |rank| Order::Ranked(usize::from(rank))),
        }
    }
}

/// The part of a decomposed character in canonical ordering, which sorts the characters between two starters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Stays where it is.
    Starter,
    /// To be sorted by its rank, below [`ORDERS`].
    Ranked(usize),
    /// A mark to be removed, without an effect on others.
    Removed,
    /// A mark to be removed after it has ended the sorting of what precedes it.
    RemovedStarter,
}

/// Code points of which every one, or every second one, becomes lower case by the same difference.
struct LowerRun {
    start: u32,
    last: u32,
    step: u32,
    difference: i32,
}

/// The tables, unpacked.
pub(crate) struct Unicode {
    classes: Runs,
    decompositions: Decompositions,
    lower: Vec<LowerRun>,
}

impl Unicode {
    pub fn new() -> Self {
        let mut last = 0;
        let mut lower = Vec::new();
        for [gap, steps, step, difference] in rows(include_bytes!("lower.bin")) {
            let start = last + gap;
            last = start + steps * step;
            lower.push(LowerRun { start, last, step, difference: signed(difference) });
        }
        let decompositions = Decompositions::new();
        Unicode { classes: Runs::new(include_bytes!("classes.bin")), decompositions, lower }
    }

    pub fn class(&self, c: char) -> Class {
        Class(self.classes.get(c) as u8)
    }

    /// Calls `f` with the canonical decomposition of `c`, of which nonspacing marks may have been left out unless it
    /// consists of these.
    pub fn decompose(&self, c: char, mut f: impl FnMut(char)) {
        const HANGUL: u32 = 0xac00;
        let code = u32::from(c);
        if code < 0xc0 {
            return f(c);
        }
        if let Some(syllable @ ..11172) = code.checked_sub(HANGUL) {
            let jamo = [0x1100 + syllable / 588, 0x1161 + syllable % 588 / 28, 0x11a7 + syllable % 28];
            let count = if syllable % 28 == 0 { 2 } else { 3 };
            return jamo.iter().take(count).filter_map(|&jamo| char::from_u32(jamo)).for_each(f);
        }
        self.decompositions.each(c, &mut f);
    }

    /// Appends `c` in lower case, as [`char::to_lowercase`].
    pub fn push_lower(&self, c: char, out: &mut String) {
        if c.is_ascii() {
            out.push(c.to_ascii_lowercase());
        } else if c == 'İ' {
            out.push_str("i\u{307}"); // the only character that becomes two
        } else {
            out.push(self.lower(c));
        }
    }

    fn lower(&self, c: char) -> char {
        let code = u32::from(c);
        let run = self.lower.partition_point(|run| run.last < code);
        match self.lower.get(run) {
            Some(run) if code >= run.start && (code - run.start).is_multiple_of(run.step) => {
                char::from_u32(code.wrapping_add_signed(run.difference)).unwrap_or(c)
            }
            _ => c,
        }
    }
}
