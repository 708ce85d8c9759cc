//! Holds byte-level BPE and Unigram tokenizers to the Hugging Face `tokenizers` library: same files, same texts, same
//! ids. The files are trained or made up here.

#![cfg(not(target_arch = "wasm32"))]

mod charsmap;
mod damaged;
mod known;
mod random;
#[path = "../reference/mod.rs"]
mod reference;

use known::KINDS;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use random::any_file;
use reference::{Both, cases, fragment, max_len};
use tokenizers::{NormalizedString, Normalizer};

fn text() -> impl Strategy<Value = String> {
    const ODD: &[&str] = &[
        "<mask>",
        " <mask>",
        "  <mask> ",
        "<s>",
        "</s>",
        "<unk>",
        "<pad>",
        "▁",
        "▁▁",
        "``",
        "''",
        "'s",
        "'re",
        " 's",
        "'ll've",
        "don't",
        "I'M",
        "12 345",
        "x1y2",
        "½",
        "Ⅷ",
        "२",
        "…",
        "™\u{301}",
        "Ａ\u{301}",
        "ｶﾞ",
        "ﬁ",
        "e\u{301}",
        "\r\n",
        "\n\n a",
        "   ",
        "\u{1}",
        "\u{200b}",
        "\u{feff}",
        "¨",
        "aaaaaaaaaaaaaaaaaaaa",
        "https://x.yz/?q=1",
    ];
    vec(prop_oneof![3 => fragment(), 2 => select(ODD).prop_map(String::from), 2 => Just(" ".to_string())], 0..24)
        .prop_map(|fragments| fragments.concat())
}

fn small_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]{0,16}",
        "[abc é好 ▁]{0,20}",
        vec(
            prop_oneof![
                3 => "[abc ]{1,4}",
                1 => text(),
                1 => select(&["[x]", "b a", "好", "é", "e\u{301}", "A\u{301}", "ab", "  ", "▁", ".", "½", "\u{a0}", "\t", "!", "c\r\n"][..])
                    .prop_map(String::from),
            ],
            0..10
        )
        .prop_map(|fragments| fragments.concat()),
    ]
}

/// The reference finds a token of which normalization leaves nothing everywhere; we find it nowhere.
fn no_added_token_vanishes(reference: &tokenizers::Tokenizer) -> bool {
    let vanishes = |token: &tokenizers::AddedToken| {
        let mut content = NormalizedString::from(token.content.as_str());
        reference
            .get_normalizer()
            .is_some_and(|normalizer| normalizer.normalize(&mut content).is_ok() && content.is_empty())
    };
    !reference.get_added_tokens_decoder().values().any(|token| token.normalized && vanishes(token))
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn tokenizers_that_users_have(text in text(), pair in option::weighted(0.3, text()), max_len in max_len()) {
        for both in KINDS.iter() {
            both.check(&text, pair.as_deref(), max_len)?;
        }
    }

}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn any_tokenizer(file in any_file(), texts in vec((small_text(), option::weighted(0.3, small_text()), max_len()), 6)) {
        let both = Both::new(&file);
        prop_assume!(no_added_token_vanishes(&both.reference));
        for (text, pair, max_len) in &texts {
            both.check(text, pair.as_deref(), *max_len)?;
        }
    }
}

/// Neither one word of a megabyte nor what looks like the beginning of something takes more than its length.
#[test]
fn a_megabyte() {
    // RoBERTa, XLM-R, ALBERT
    for both in [&KINDS[0], &KINDS[5], &KINDS[6]] {
        for unit in ["a", "an excellent film ", "\u{301}\u{1b44}", "<mas", "e\u{301}\u{200d}"] {
            let text = unit.repeat(1_000_000 / unit.len());
            assert!(both.ours.encode(&text, None, 512).ids.len() <= 512);
        }
    }
}
