//! Holds the tables for subword tokenizers to the crates that `tokenizers` normalizes and cuts with, and writes them:
//! `cargo test -p fourlane --features bpe,unigram write_the_subword_tables -- --ignored`.

use super::forms::{Form, Forms};
use super::graphemes::*;
use super::tables::Runs;
use super::tests::{all, nfd, save, save_runs, write};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use regex::Regex;
use unicode_normalization_alignments::UnicodeNormalization;
use unicode_normalization_alignments::char::{canonical_combining_class, compose, is_combining_mark};
use unicode_segmentation::UnicodeSegmentation;

fn combining(c: char) -> u32 {
    u32::from(canonical_combining_class(c)) << 1 | u32::from(is_combining_mark(c))
}

fn letter_or_number(letter: &Regex, number: &Regex, c: char) -> u32 {
    let c = c.to_string();
    u32::from(letter.is_match(&c)) | u32::from(number.is_match(&c)) << 1
}

/// The full canonical decomposition (0; 1 if composition does not make the character), else the compatible one (2).
fn decomposition(c: char) -> (u32, Vec<char>) {
    let canonical = nfd(c);
    if canonical == [c] {
        let compatible: Vec<char> = c.to_string().nfkd().map(|(c, _)| c).collect();
        let changed = if compatible == [c] { Vec::new() } else { compatible };
        return (2, changed);
    }
    let composed: String = c.to_string().nfc().map(|(c, _)| c).collect();
    (u32::from(!composed.chars().eq([c])), canonical)
}

/// Finds a character's class by the company that it keeps.
fn grapheme_class(c: char) -> u32 {
    let joined = |parts: &str| parts.replace('_', c.encode_utf8(&mut [0; 4])).graphemes(true).count() == 1;
    let between = |parts: &str| joined(parts) && !joined(&parts.replace('_', "_a"));
    if ('가'..='힣').contains(&c) || c == '\u{200d}' {
        return 0; // not by table
    }
    if !joined("_\u{301}") {
        return CONTROL;
    }
    if joined("a_") {
        return match (joined("©_\u{200d}©"), joined("क_\u{94d}क"), joined("क_क")) {
            (false, ..) => SPACING_MARK,
            (_, _, true) => LINKER,
            (_, true, false) => CONJUNCT_EXTEND,
            (_, false, false) => EXTEND,
        };
    }
    match c {
        _ if joined("_a") => PREPEND,
        _ if between("©\u{200d}_") => PICTOGRAPH,
        _ if between("क\u{94d}_") => CONSONANT,
        _ if joined("_\u{1100}") => L,
        _ if joined("_\u{1160}") => V,
        _ if joined("_\u{11a8}") => T,
        _ => 0,
    }
}

#[test]
fn letters_and_marks_of_all_characters() {
    let (letter, number) = (Regex::new(r"^\p{L}$").unwrap(), Regex::new(r"^\p{N}$").unwrap());
    let letters = Runs::new(include_bytes!("letters.bin"));
    let marks = Runs::new(include_bytes!("combining.bin"));
    for c in all() {
        assert_eq!(letters.get(c), letter_or_number(&letter, &number, c), "{c:?}");
        assert_eq!(marks.get(c), combining(c), "{c:?}");
    }
}

#[test]
fn forms_of_all_characters() {
    let forms = Forms::new();
    for c in all() {
        check_forms(&forms, &c.to_string());
    }
    for c in all() {
        if let [first, .., last] = nfd(c)[..] {
            check_forms(&forms, &format!("{first}{last}"));
            assert_eq!(
                compose(first, last).is_some(),
                forms.normalize(NFC, &format!("{first}{last}")).chars().count() == 1
            );
        }
    }
}

const NFC: Form = Form { compatible: false, composed: true };

fn check_forms(forms: &Forms, text: &str) {
    let ours = |compatible, composed| forms.normalize(Form { compatible, composed }, text);
    assert_eq!(ours(false, false), text.nfd().map(|(c, _)| c).collect::<String>(), "NFD of {text:?}");
    assert_eq!(ours(true, false), text.nfkd().map(|(c, _)| c).collect::<String>(), "NFKD of {text:?}");
    assert_eq!(ours(false, true), text.nfc().map(|(c, _)| c).collect::<String>(), "NFC of {text:?}");
    assert_eq!(ours(true, true), text.nfkc().map(|(c, _)| c).collect::<String>(), "NFKC of {text:?}");
}

/// Characters that decompose, compose, combine, or change the clusters around them.
fn odd_text() -> impl Strategy<Value = String> {
    let c = prop_oneof![
        2 => any::<char>(),
        3 => prop::char::range('\u{a0}', '\u{36f}'),
        1 => prop::char::range('\u{900}', '\u{dff}'),
        1 => prop::char::range('\u{1100}', '\u{11ff}'),
        1 => prop::char::range('\u{ac00}', '\u{ac40}'),
        1 => prop::char::range('\u{1e00}', '\u{212f}'),
        3 => select(
            "ae \r\n\u{200c}\u{200d}\u{600}©™❤🏽क\u{93c}\u{94d}\u{903}\u{301}\u{323}\u{345}".chars().collect::<Vec<_>>()
        ),
    ];
    vec(c, 0..12).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forms_of_texts(texts in vec(odd_text(), 20)) {
        let forms = Forms::new();
        texts.iter().for_each(|text| check_forms(&forms, text));
    }

    #[test]
    fn clusters_of_texts(texts in vec(odd_text(), 50)) {
        let graphemes = Graphemes::new();
        for text in &texts {
            // Two regional indicators are left apart.
            let text = text.replace(|c| ('🇦'..='🇿').contains(&c), "");
            let mut rest = &text[..];
            for cluster in text.graphemes(true) {
                prop_assert_eq!(&rest[..graphemes.first(rest)], cluster, "{:?}", text);
                rest = &rest[cluster.len()..];
            }
        }
    }
}

#[test]
#[ignore = "overwrites the tables"]
fn write_the_subword_tables() {
    save_runs("combining.bin", combining);
    let (letter, number) = (Regex::new(r"^\p{L}$").unwrap(), Regex::new(r"^\p{N}$").unwrap());
    save_runs("letters.bin", |c| letter_or_number(&letter, &number, c));
    save_runs("graphemes.bin", grapheme_class);

    for (name, kinds) in [("canonical", 0..2), ("compatible", 2..3)] {
        let mut rows = Vec::new();
        let mut text = String::new();
        let mut last = 0;
        for c in all().filter(|c| !('가'..='힣').contains(c)) {
            let (kind, decomposition) = decomposition(c);
            if kinds.contains(&kind) && !decomposition.is_empty() {
                let before = text.len();
                text.extend(decomposition);
                rows.push([u32::from(c) - last, (text.len() - before) as u32, kind & 1]);
                last = u32::from(c);
            }
        }
        save(&format!("{name}.bin"), &rows);
        write(&format!("{name}.txt"), text.as_bytes());
    }
}
