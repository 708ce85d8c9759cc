//! Tokenizer files of random parts, with few and short pieces, so that all ways to cut a word come up.

use crate::charsmap::charsmap;
use crate::known::{ADDED, NMT_NFKC, added_tokens, file, replace, roberta_processing, sequence_of, template};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

fn any_normalizer() -> impl Strategy<Value = Value> {
    let keys = prop::collection::btree_map("[abé好 ½\u{301}\u{200d}]{1,3}", "[ab ▁]{0,3}", 1..8);
    let one = prop_oneof![
        Just(json!({"type": "NFC"})),
        Just(json!({"type": "NFD"})),
        Just(json!({"type": "NFKC"})),
        Just(json!({"type": "NFKD"})),
        Just(json!({"type": "Lowercase"})),
        Just(json!({"type": "StripAccents"})),
        Just(NMT_NFKC.clone()),
        keys.prop_map(|keys| json!({"type": "Precompiled", "precompiled_charsmap": charsmap(&keys)})),
        any::<(bool, bool)>()
            .prop_map(|(left, right)| json!({"type": "Strip", "strip_left": left, "strip_right": right})),
        "[ab▁]{1,2}".prop_map(|prefix| json!({"type": "Prepend", "prepend": prefix})),
        ("[ab ]{1,2}", "[ab ▁]{0,2}").prop_map(|(pattern, content)| replace(json!({"String": pattern}), &content)),
        (select(&[" {2,}", " +", r"\s+", r"\s{3,}", " "][..]), select(&[" ", "▁", ""][..]))
            .prop_map(|(pattern, content)| replace(json!({"Regex": pattern}), content)),
        any::<([bool; 3], Option<bool>)>().prop_map(
            |([clean_text, handle_chinese_chars, lowercase], strip_accents)| {
                json!({"type": "BertNormalizer", "clean_text": clean_text, "lowercase": lowercase,
                "handle_chinese_chars": handle_chinese_chars, "strip_accents": strip_accents})
            }
        ),
    ];
    prop_oneof![1 => Just(Value::Null), 4 => vec(one, 0..4).prop_map(sequence_of)]
}

fn any_pre_tokenizer() -> impl Strategy<Value = Value> {
    let metaspace_of = |schemes: &'static [&'static str]| {
        (select(&["▁", "a", "_"][..]), select(schemes), any::<bool>()).prop_map(|(replacement, scheme, split)| {
            json!({"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme, "split": split})
        })
    };
    let metaspace = prop_oneof![
        metaspace_of(&["always", "never"]),
        Just(json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true, "str_rep": "▁"})),
        Just(json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": false, "prepend_scheme": "never"})),
    ];
    let byte_level = any::<(bool, bool)>().prop_map(|(prefix, regex)| {
        json!({"type": "ByteLevel", "add_prefix_space": prefix, "use_regex": regex, "trim_offsets": true})
    });
    let one = prop_oneof![
        4 => metaspace,
        2 => byte_level,
        3 => select(&["WhitespaceSplit", "Whitespace", "BertPreTokenizer"][..]).prop_map(|kind| json!({"type": kind})),
        1 => Just(json!({"type": "Punctuation", "behavior": "Isolated"})),
    ];
    prop_oneof![
        1 => Just(Value::Null),
        1 => metaspace_of(&["first"]),
        3 => one.clone(),
        3 => vec(one, 0..3).prop_map(|cuts| json!({"type": "Sequence", "pretokenizers": cuts})),
    ]
}

/// Tokens `<0x00>` to `<0xFF>`, or most of them.
fn byte_tokens() -> impl Strategy<Value = Vec<String>> {
    let all: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
    prop_oneof![2 => Just(Vec::new()), 1 => Just(all.clone()), 1 => subsequence(all, 200..256)]
}

fn any_unigram() -> impl Strategy<Value = Value> {
    let pieces = vec(("[▁abcé好]{1,3}|[▁ab]{1,4}|[Ġab]{1,2}", -12.0..0.0f64), 1..40);
    // Scores that are often equal, far apart, or positive.
    let scale = select(&[1.0, 0.25, 10.0, -5.0][..]);
    (pieces, scale, byte_tokens(), any::<bool>(), 0usize..5).prop_map(|(pieces, scale, bytes, byte_fallback, unk)| {
        let specials = ADDED.iter().map(|(content, ..)| (content.to_string(), 0.0));
        let pieces = pieces
            .into_iter()
            .map(|(piece, score)| (piece, if scale == 1.0 { score } else { (score / 4.0).round() * scale }));
        let bytes = bytes.into_iter().map(|byte| (byte, -3.0));
        let vocab: Vec<_> = specials.chain(pieces).chain(bytes).map(|(piece, score)| json!([piece, score])).collect();
        json!({"type": "Unigram", "unk_id": unk, "byte_fallback": byte_fallback, "vocab": vocab})
    })
}

fn any_bpe() -> impl Strategy<Value = Value> {
    let alphabet = select(&["abcé好▁", "abĠ", "ab", "abcdefĠÃ©å¥½"][..]);
    let merges = vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..40);
    let affixes = (option::weighted(0.2, select(&["#", "@@"][..])), option::weighted(0.2, select(&["$", "</w>"][..])));
    let unk = option::weighted(0.6, Just("<unk>"));
    (alphabet, merges, affixes, unk, any::<[bool; 4]>(), byte_tokens()).prop_map(
        |(alphabet, merges, (prefix, suffix), unk, [fuse_unk, byte_fallback, ignore_merges, lines], bytes)| {
            let mut vocab: Map<String, Value> = Map::new();
            let add = |vocab: &mut Map<String, Value>, token: String| {
                let id = vocab.len();
                vocab.entry(token).or_insert(json!(id));
            };
            ADDED.iter().for_each(|(content, ..)| add(&mut vocab, content.to_string()));
            let mut parts = Vec::new();
            let (pre, post) = (prefix.unwrap_or_default(), suffix.unwrap_or_default());
            for c in alphabet.chars() {
                for token in [format!("{c}"), format!("{pre}{c}"), format!("{c}{post}"), format!("{pre}{c}{post}")] {
                    if !parts.contains(&token) {
                        add(&mut vocab, token.clone());
                        parts.push(token);
                    }
                }
            }
            let mut pairs = Vec::new();
            for (left, right) in merges {
                let (left, right) = (left.get(&parts).clone(), right.get(&parts).clone());
                // The reference takes the prefix off, whether it is there or not, at any byte.
                if let Some(right_part) = right.strip_prefix(pre) {
                    let merged = format!("{left}{right_part}");
                    add(&mut vocab, merged.clone());
                    parts.push(merged);
                    pairs.push(if lines { json!(format!("{left} {right}")) } else { json!([left, right]) });
                }
            }
            bytes.into_iter().for_each(|byte| add(&mut vocab, byte));
            json!({"type": "BPE", "dropout": null, "unk_token": unk, "continuing_subword_prefix": prefix,
                "end_of_word_suffix": suffix, "fuse_unk": fuse_unk, "byte_fallback": byte_fallback,
                "ignore_merges": ignore_merges, "vocab": vocab, "merges": pairs})
        },
    )
}

fn any_wordpiece() -> impl Strategy<Value = Value> {
    vec("(##)?[▁abcé好]{1,3}", 0..30).prop_map(|pieces| {
        let specials = ADDED.iter().map(|(content, ..)| content.to_string());
        let vocab: Map<_, _> = specials.chain(pieces).zip(0..).map(|(piece, id)| (piece, json!(id))).collect();
        json!({"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 20, "vocab": vocab})
    })
}

fn keeps_the_first_character(normalizer: &Value) -> bool {
    const KEEP: [&str; 4] = ["NFC", "Lowercase", "StripAccents", "Strip"];
    let steps = normalizer["normalizers"].as_array().map_or(&[][..], Vec::as_slice);
    steps.iter().all(|step| KEEP.iter().any(|kind| step["type"] == *kind) || step["pattern"]["Regex"].is_string())
}

pub fn any_file() -> impl Strategy<Value = Value> {
    let model = prop_oneof![4 => any_unigram(), 4 => any_bpe(), 1 => any_wordpiece()];
    let post_processor = select(vec![
        roberta_processing(),
        template(),
        Value::Null,
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}),
        json!({"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}, template()]}),
    ]);
    let more = option::of((select(&["[x]", "ab", "b a", "é", "<mask>"][..]), any::<[bool; 5]>()));
    (model, any_normalizer(), any_pre_tokenizer(), post_processor, more).prop_map(
        |(model, mut normalizer, pre_tokenizer, post_processor, more)| {
            // If normalization makes several characters of the first, the reference may see several first words.
            if pre_tokenizer["prepend_scheme"] == "first" && !keeps_the_first_character(&normalizer) {
                normalizer = json!({"type": "Strip", "strip_left": true, "strip_right": false});
            }
            let mut added = added_tokens();
            added.as_array_mut().unwrap().extend(more.map(
                |(content, [single_word, lstrip, rstrip, normalized, special])| {
                    json!({"id": 9, "content": content, "single_word": single_word, "lstrip": lstrip, "rstrip": rstrip,
                    "normalized": normalized, "special": special})
                },
            ));
            file(model, normalizer, pre_tokenizer, post_processor, added)
        },
    )
}
