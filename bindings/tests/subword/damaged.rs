//! What is wrong with a file is said, and nothing that a file may contain makes a panic.

use crate::charsmap::{base64, charsmap};
use crate::known::{added_tokens, file, metaspace, replace, roberta_processing, sequence_of, template};
use crate::reference::cases;
use crate::text;
use fourlane::Tokenizer;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What is wrong with a file.
fn refusal(file: &Value) -> String {
    Tokenizer::from_json(file.to_string().as_bytes()).err().expect("a refusal").to_string()
}

#[test]
fn damaged_files_are_refused() {
    let with = |model: Value, normalizer: Value, pre_tokenizer: Value| {
        refusal(&file(model, normalizer, pre_tokenizer, Value::Null, json!([])))
    };
    let bpe = |merges: Value| json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": merges});
    let error = with(bpe(json!(["a c"])), Value::Null, Value::Null);
    assert!(
        error.contains("expected pieces that are in the vocabulary, before and after they merge at byte"),
        "{error}"
    );
    for merges in [json!(["a b c"]), json!(["ab"]), json!([["a"]]), json!([["a", "b", "c"]])] {
        let error = with(bpe(merges), Value::Null, Value::Null);
        assert!(error.contains("expected a pair of pieces at byte"), "{error}");
    }
    let error = with(json!({"type": "BPE", "vocab": {}}), Value::Null, Value::Null);
    assert_eq!(error, "the tokenizer's model has no merges");
    for unk_id in [Value::Null, json!(1)] {
        let error =
            with(json!({"type": "Unigram", "vocab": [["a", -1.5]], "unk_id": unk_id}), Value::Null, Value::Null);
        assert_eq!(error, "the tokenizer's model has no unk_id that is in its vocabulary");
    }
    for charsmap in [json!(null), json!("?"), json!("AAAA"), json!("BAAAAAAA"), json!("AAAAAP8=")] {
        let error = with(bpe(json!([])), json!({"type": "Precompiled", "precompiled_charsmap": charsmap}), Value::Null);
        assert_eq!(error, "the tokenizer's normalizer has no valid precompiled_charsmap");
    }
    let error = with(bpe(json!([])), replace(json!({"Regex": "[a-z]"}), ""), Value::Null);
    assert!(
        error.starts_with("the tokenizer's normalizer is Replace of the Regex [a-z]; what works is Replace"),
        "{error}"
    );
    let error = with(bpe(json!([])), replace(json!({"String": ""}), ""), Value::Null);
    assert_eq!(error, "the tokenizer's normalizer replaces nothing");
    let error = with(bpe(json!([])), Value::Null, json!({"type": "Metaspace"}));
    assert_eq!(error, "the tokenizer's pre_tokenizer lacks replacement");
    let error = with(bpe(json!([])), Value::Null, json!({"type": "Metaspace", "replacement": "ab"}));
    assert!(error.contains("expected one character at byte"), "{error}");
    let error = with(
        bpe(json!([])),
        Value::Null,
        json!({"type": "Metaspace", "replacement": "a", "pretokenizers": [metaspace()]}),
    );
    assert_eq!(error, "the tokenizer's pre_tokenizer has pretokenizers, but is no Sequence");
    for (part, key) in
        [("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"), ("post_processor", "processors")]
    {
        let inner = (0..20).fold("{}".to_string(), |inner, _| format!(r#"{{"type":"Sequence","{key}":[{inner}]}}"#));
        let mut file = file(bpe(json!([])), Value::Null, Value::Null, Value::Null, json!([]));
        file[part] = serde_json::from_str(&inner).unwrap();
        let error = refusal(&file);
        assert!(error.contains("nested too deeply at byte"), "{error}");
    }
}

/// Files of each kind, small enough for damage to matter.
static SMALL_FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let keys = BTreeMap::from([("é".into(), "e".into()), ("\u{1}".into(), String::new())]);
    let normalizer = sequence_of(vec![
        json!({"type": "Precompiled", "precompiled_charsmap": charsmap(&keys)}),
        replace(json!({"Regex": " {2,}"}), " "),
        json!({"type": "NFKC"}),
    ]);
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": true, "use_regex": true});
    let bpe = json!({"type": "BPE", "unk_token": "<unk>", "continuing_subword_prefix": "", "byte_fallback": true,
        "vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3, "Ġ": 4, "Ġa": 5}, "merges": ["a b", "Ġ a"]});
    let unigram = json!({"type": "Unigram", "unk_id": 0, "byte_fallback": true,
        "vocab": [["<unk>", 0.0], ["a", -1.5], ["▁a", -2.25], ["ab", -3.0], ["<0x00>", -9.0]]});
    let sequence = json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace()]});
    let files = [
        file(bpe, Value::Null, byte_level, roberta_processing(), added_tokens()),
        file(unigram, normalizer, sequence, template(), added_tokens()),
    ];
    files.iter().map(|file| serde_json::to_vec(file).unwrap()).collect()
});

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever is done to a file, there is a tokenizer or an error.
    #[test]
    fn no_file_makes_it_panic(
        which in 0usize..2, at in any::<prop::sample::Index>(), bytes in vec(any::<u8>(), 0..4), cut in 0usize..9, text in text()
    ) {
        let mut file = SMALL_FILES[which].clone();
        let at = at.index(file.len());
        file.splice(at..(at + cut).min(file.len()), bytes);
        for file in [&file[..], &file[..at]] {
            if let Ok(tokenizer) = Tokenizer::from_json(file) {
                tokenizer.encode(&text, Some("ab é"), 70);
            }
        }
    }

    /// Nor does any charsmap.
    #[test]
    fn no_charsmap_makes_it_panic(units in vec(any::<u32>(), 1..600), texts in vec(any::<u8>(), 0..9), text in text()) {
        let bytes = [&(units.len() as u32 * 4).to_le_bytes()[..], &units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>(), &texts].concat();
        let normalizer = json!({"type": "Precompiled", "precompiled_charsmap": base64(&bytes)});
        let model = json!({"type": "Unigram", "vocab": [["a", -1.5]], "unk_id": 0});
        let file = file(model, normalizer, Value::Null, Value::Null, json!([]));
        if let Ok(tokenizer) = Tokenizer::from_json(file.to_string().as_bytes()) {
            tokenizer.encode(&text, None, 70);
        }
    }
}
