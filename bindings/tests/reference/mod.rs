//! The Hugging Face `tokenizers` library beside ours, and texts for both.

#![allow(dead_code, reason = "no test uses all of it")]

use fourlane::{Encoding, Tokenizer};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

/// A tokenizer of ours and the reference's, of one file.
pub struct Both {
    pub ours: Tokenizer,
    pub reference: tokenizers::Tokenizer,
}

impl Both {
    pub fn new(file: &Value) -> Self {
        let bytes = file.to_string().into_bytes();
        let ours = Tokenizer::from_json(&bytes).unwrap();
        Both { ours, reference: tokenizers::Tokenizer::from_bytes(bytes).unwrap() }
    }

    /// A pair is encoded in full before it is truncated, as all versions before 0.23 did and "longest first" says: the
    /// later ones stop counting at the maximum, and so may take the shorter text for the longer.
    pub fn reference(&self, text: &str, pair: Option<&str>, max_len: Option<usize>) -> Encoding {
        let truncation = max_len.map(|max_length| tokenizers::TruncationParams { max_length, ..Default::default() });
        let mut truncating = self.reference.clone();
        truncating.with_truncation(truncation).unwrap();
        let encoding = match pair {
            Some(pair) => {
                let first = self.reference.encode(text, false).unwrap();
                let mut second = self.reference.encode(pair, false).unwrap();
                second.set_type_ids(vec![1; second.len()]);
                truncating.post_process(first, Some(second), true).unwrap()
            }
            None => truncating.encode(text, true).unwrap(),
        };
        Encoding {
            ids: encoding.get_ids().iter().copied().map(i64::from).collect(),
            type_ids: encoding.get_type_ids().iter().copied().map(i64::from).collect(),
        }
    }

    pub fn check(&self, text: &str, pair: Option<&str>, max_len: Option<usize>) -> Result<(), TestCaseError> {
        let ours = self.ours.encode(text, pair, max_len.unwrap_or(usize::MAX));
        let reference = self.reference(text, pair, max_len);
        prop_assert_eq!(&ours, &reference, "{:?} with {:?} to {:?}", text, pair, max_len);
        Ok(())
    }
}

/// Pieces of text of which each may go wrong in a way of its own.
pub fn fragment() -> impl Strategy<Value = String> {
    const SPACES: &[&str] =
        &[" ", "  ", "\t", "\n", "\r\n", "\u{a0}", "\u{3000}", "\u{2028}", "\u{85}", "\u{b}", "\u{1680}"];
    const TOKENS: &[&str] =
        &["[SEP]", "[CLS]", "[PAD]", "[UNK]", "[MASK]", "[sep]", "[SE", "SEP]", "[[SEP]]", "##ing", "##"];
    const MARKS: &[&str] = &[
        "\u{300}",
        "\u{301}",
        "\u{307}",
        "\u{315}",
        "\u{327}",
        "\u{345}",
        "\u{591}",
        "\u{64b}",
        "\u{93c}",
        "\u{94d}",
        "\u{9be}",
        "\u{bd7}",
        "\u{f71}",
        "\u{f73}",
        "\u{f72}",
        "\u{1b44}",
        "\u{1bf2}",
        "\u{302e}",
        "\u{3099}",
        "\u{a953}",
        "\u{1d165}",
        "\u{1d16d}",
        "\u{1d16e}",
        "\u{1e003}",
        "\u{1e94a}",
        "\u{8d4}",
        "\u{20e3}",
        "\u{fe0f}",
    ];
    const ODD: &[&str] = &[
        "İ",
        "ı",
        "ẞ",
        "ß",
        "Σ",
        "ΌΣΟΣ",
        "ς",
        "ǅ",
        "ﬁ",
        "Å",
        "Ω",
        "K",
        "ſ",
        "Ⅷ",
        "½",
        "ñ",
        "É",
        "ü",
        "Ж",
        "\u{37e}",
        "\u{1fef}",
        "\u{2126}",
        "\u{958}",
        "\u{9cb}",
        "\u{bcc}",
        "\u{1d160}",
        "\u{1d1bf}",
        "豈",
        "\u{2f800}",
        "\u{fffd}",
        "\0",
        "\u{7f}",
        "\u{ad}",
        "\u{200b}",
        "\u{200d}",
        "\u{feff}",
        "\u{e000}",
        "\u{e0001}",
        "ﷺ",
        "𝒳",
        "Ꭰ",
        "ꭰ",
        "Ⴀ",
        "Ა",
        "𞤀",
        "\u{2b820}",
    ];
    prop_oneof![
        6 => "[a-z]{1,9}",
        2 => "[a-zA-Z]{1,9}",
        2 => "[a-z0-9!-/:-@\\[-`{-~]{1,9}",
        4 => select(SPACES).prop_map(String::from),
        2 => select(TOKENS).prop_map(String::from),
        3 => vec(select(MARKS), 1..5).prop_map(|marks| marks.concat()),
        3 => select(ODD).prop_map(String::from),
        1 => "[À-ɏ]{1,5}",
        1 => "[Ͱ-Ͽ]{1,5}",
        1 => "[Ѐ-ӿ]{1,5}",
        1 => "[؀-ۿ]{1,5}",
        1 => "[ऀ-෿]{1,5}",
        1 => "[一-龥]{1,5}",
        1 => "[ぁ-ヿ]{1,5}",
        1 => "[가-힣ᄀ-ᇿ]{1,4}",
        1 => "[‐-⁯]{1,3}",
        1 => "[😀-🙏❤👍🏻-🏿]{1,3}",
        1 => "[豈-龎]{1,3}",
        1 => "[𝄀-𝇨]{1,4}",
        2 => vec(any::<char>(), 1..4).prop_map(String::from_iter),
        1 => ("[a-zé好]", 95usize..105).prop_map(|(c, count)| c.repeat(count)),
    ]
}

pub fn text() -> impl Strategy<Value = String> {
    vec(fragment(), 0..24).prop_map(|fragments| fragments.concat())
}

/// The shortest leave room for special tokens only.
pub fn max_len() -> impl Strategy<Value = Option<usize>> {
    option::of(prop_oneof![4usize..12, 12usize..80])
}

/// At least so many; `PROPTEST_CASES` can ask for more.
pub fn cases(least: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(least), failure_persistence: None, ..config }
}
