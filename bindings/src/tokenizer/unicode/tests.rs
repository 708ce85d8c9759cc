//! Holds the tables to the crates that `tokenizers` normalizes with, character by character, and writes them:
//! `cargo test -p fourlane write_the_tables -- --ignored`.

use super::*;
use regex::Regex;
use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;
use unicode_normalization_alignments::char::canonical_combining_class;

pub(super) fn all() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

/// The canonical decomposition.
pub(super) fn nfd(c: char) -> Vec<char> {
    c.to_string().nfd().map(|(c, _)| c).collect()
}

/// The canonical decomposition without nonspacing marks.
fn remaining(c: char) -> Vec<char> {
    nfd(c).into_iter().filter(|c| !c.is_mark_nonspacing()).collect()
}

/// Combining classes of the characters that are not nonspacing marks, for the `tokenizers` library at least.
const RANKS: [u8; ORDERS] = [7, 9, 216, 224, 226, 230];

fn class(word: &Regex, c: char) -> Class {
    let decomposition = nfd(c);
    let is_starter = |&c: &char| canonical_combining_class(c) == 0;
    let kind = if c.is_mark_nonspacing() {
        assert!(decomposition.iter().all(|c| c.is_mark_nonspacing()), "{c:?} is removed as a whole");
        if decomposition.iter().any(is_starter) { MARK_STARTER } else { MARK }
    } else if !is_starter(&c) {
        assert!(!c.is_other() && !c.is_punctuation() && decomposition == [c]);
        let combining_class = canonical_combining_class(c);
        ORDERED + RANKS.iter().position(|&rank| rank == combining_class).expect("a known class") as u8
    } else if c.is_other() {
        OTHER
    } else if c.is_ascii_punctuation() || c.is_punctuation() {
        PUNCTUATION
    } else {
        0
    };
    Class(kind << 1 | u8::from(word.is_match(c.encode_utf8(&mut [0; 4]))))
}

fn word() -> Regex {
    Regex::new(r"^\w$").unwrap()
}

#[test]
fn classes_of_all_characters() {
    let (unicode, word) = (Unicode::new(), word());
    for c in all() {
        assert_eq!(unicode.class(c), class(&word, c), "{c:?}");
    }
}

#[test]
fn decompositions_of_all_characters() {
    let unicode = Unicode::new();
    for c in all() {
        let mut decomposition = Vec::new();
        unicode.decompose(c, |c| decomposition.push(c));
        decomposition.retain(|&c| !matches!(unicode.class(c).order(), Order::Removed | Order::RemovedStarter));
        assert_eq!(decomposition, remaining(c), "{c:?}");
        // Marks that the table leaves out must not have ended the sorting of a character that it keeps.
        let orders: Vec<_> = nfd(c).into_iter().map(|c| unicode.class(c).order()).collect();
        let is_cut = |pair: &[Order]| matches!(pair, [Order::Ranked(_), Order::RemovedStarter]);
        assert!(!orders.windows(2).any(is_cut), "{c:?}");
    }
}

#[test]
fn lower_case_of_all_characters() {
    // A toolchain with another version of Unicode has another idea of lower case.
    if char::UNICODE_VERSION.0 != 17 {
        return;
    }
    let unicode = Unicode::new();
    for c in all() {
        let mut lower = String::new();
        unicode.push_lower(c, &mut lower);
        assert_eq!(lower, c.to_lowercase().collect::<String>(), "{c:?}");
    }
}

pub(super) fn save<const N: usize>(name: &str, rows: &[[u32; N]]) {
    let mut bytes = Vec::new();
    for column in 0..N {
        for row in rows {
            let mut number = row[column];
            while number >= 128 {
                bytes.push(number as u8 | 128);
                number >>= 7;
            }
            bytes.push(number as u8);
        }
    }
    write(name, &bytes);
}

pub(super) fn write(name: &str, bytes: &[u8]) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tokenizer/unicode/");
    std::fs::write(format!("{folder}{name}"), bytes).unwrap();
}

pub(super) fn save_runs(name: &str, value: impl Fn(char) -> u32) {
    let mut rows = Vec::new();
    let (mut last, mut start) = (0, 0);
    for c in all() {
        let value = value(c);
        if value != last {
            rows.push([u32::from(c) - start, value]);
            (last, start) = (value, u32::from(c));
        }
    }
    save(name, &rows);
}

fn unsigned(difference: i32) -> u32 {
    (difference << 1 ^ difference >> 31) as u32
}

#[test]
#[ignore = "overwrites the tables"]
fn write_the_tables() {
    let word = word();
    save_runs("classes.bin", |c| class(&word, c).0.into());

    let mut rows = Vec::new();
    let (mut from, mut to) = (0, 0);
    for c in all().filter(|c| !('가'..='힣').contains(c)) {
        let remaining = remaining(c);
        if remaining != [c] {
            for remains in remaining {
                rows.push([u32::from(c) - from, unsigned(remains as i32 - to)]);
                (from, to) = (u32::from(c), remains as i32);
            }
        }
    }
    save("decompositions.bin", &rows);

    let lower = |c: char| c.to_lowercase().next().unwrap() as i32 - c as i32;
    let at = |code: u32| char::from_u32(code).filter(|&c| c != 'İ').map_or(0, lower);
    let mut rows = Vec::new();
    let (mut last, mut code) = (0, 0x80);
    while code <= u32::from(char::MAX) {
        let difference = at(code);
        if difference == 0 {
            code += 1;
            continue;
        }
        // A run of every second code point must not pass over one that has a lower case of its own.
        let length = |step: u32| (1..).take_while(|i| at(code + i * step) == difference).count() as u32;
        let step = if length(2) > length(1) && at(code + 1) == 0 { 2 } else { 1 };
        let steps = length(step);
        rows.push([code - last, steps, step, unsigned(difference)]);
        last = code + steps * step;
        code = last + 1;
    }
    save("lower.bin", &rows);
}
