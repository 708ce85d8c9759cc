//! What kinds of tokenizers a build has, and what it says of the others: in a build without cargo features, and in one
//! with all of them. `cargo xtask test` runs both.

#![cfg(not(target_arch = "wasm32"))]

use fourlane::Tokenizer;
use serde_json::{Value, json};

/// What is wrong with the default model's tokenizer if this is changed; nothing if it works.
fn refusal(part: &str, value: Value) -> String {
    let mut file: Value = serde_json::from_str(include_str!("../model/tokenizer.json")).unwrap();
    file[part] = value;
    match Tokenizer::from_json(file.to_string().as_bytes()) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

fn feature(part: &str, found: &str, feature: &str) -> String {
    format!(
        "the tokenizer's {part} is {found}, which this build has not: `cargo xtask build --features {feature}` makes the \
         package with it, in Rust it is the feature `{feature}` of the crate fourlane"
    )
}

#[test]
fn models() {
    let bpe = json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]});
    let unigram = json!({"type": "Unigram", "vocab": [["a", -1.5]], "unk_id": 0});
    // Files of the first years have no types.
    let old_bpe = json!({"vocab": {"a": 0}, "merges": []});
    let old_unigram = json!({"vocab": [["a", -1.5]], "unk_id": 0});
    for (model, kind, name) in [
        (bpe, "BPE", "bpe"),
        (old_bpe, "BPE", "bpe"),
        (unigram, "Unigram", "unigram"),
        (old_unigram, "Unigram", "unigram"),
    ] {
        let there = [("bpe", cfg!(feature = "bpe")), ("unigram", cfg!(feature = "unigram"))].contains(&(name, true));
        let expected = if there { String::new() } else { feature("model", kind, name) };
        assert_eq!(refusal("model", model), expected);
    }
    let error = refusal("model", json!({"type": "WordLevel", "vocab": {"a": 0}}));
    assert!(error.starts_with("the tokenizer's model is WordLevel; what works is WordPiece"), "{error}");
}

#[test]
fn other_parts() {
    for (part, value, kind) in [
        ("normalizer", json!({"type": "Sequence", "normalizers": []}), "Sequence"),
        ("pre_tokenizer", json!({"type": "WhitespaceSplit"}), "WhitespaceSplit"),
        ("pre_tokenizer", Value::Null, "missing"),
        ("post_processor", json!({"type": "ByteLevel"}), "ByteLevel"),
    ] {
        let error = refusal(part, value);
        if cfg!(feature = "subword") {
            assert_eq!(error, "");
        } else {
            assert!(error.starts_with(&format!("the tokenizer's {part} is {kind}; what works is ")), "{error}");
        }
    }
    for part in ["normalizer", "pre_tokenizer", "post_processor"] {
        let error = refusal(part, json!({"type": "Other"}));
        assert!(error.starts_with(&format!("the tokenizer's {part} is Other; what works is ")), "{error}");
    }
}

#[cfg(all(feature = "bpe", not(feature = "unigram")))]
#[test]
fn normalizers_of_unigram() {
    let error = refusal("normalizer", json!({"type": "NFKC"}));
    assert_eq!(error, feature("normalizer", "Precompiled, NFKC or NFKD", "unigram"));
}

#[cfg(all(feature = "unigram", not(feature = "bpe")))]
#[test]
fn words_of_bpe() {
    let error = refusal("pre_tokenizer", json!({"type": "ByteLevel"}));
    assert_eq!(error, feature("pre_tokenizer", "ByteLevel", "bpe"));
}
