//! Holds the tokenizer to the Hugging Face `tokenizers` library: same files, same texts, same ids.

#![cfg(not(target_arch = "wasm32"))]

mod reference;

use fourlane::{Tokenizer, TokenizerConfig};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use reference::{Both, cases, max_len, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;

fn model_file() -> Value {
    serde_json::from_str(include_str!("../model/tokenizer.json")).unwrap()
}

/// The default model's vocabulary with all settings of the normalizer.
static NORMALIZERS: LazyLock<Vec<Both>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for bits in 0..8u8 {
        for strip_accents in [None, Some(false), Some(true)] {
            let mut file = model_file();
            file["normalizer"] = json!({
                "type": "BertNormalizer",
                "clean_text": bits & 1 != 0,
                "handle_chinese_chars": bits & 2 != 0,
                "strip_accents": strip_accents,
                "lowercase": bits & 4 != 0,
            });
            all.push(Both::new(&file));
        }
    }
    let mut file = model_file();
    file["normalizer"] = Value::Null;
    all.push(Both::new(&file));
    all
});

/// A tokenizer file of few and short pieces, so that all ways to cut a word come up.
fn small_file() -> impl Strategy<Value = Value> {
    let pieces = btree_set("(##)?[abcé好İi̇]{1,3}|[ab#]{1,4}", 0..40);
    let content = prop_oneof![
        select(&["[SEP]", "[UNK]", "ab", "a", "AB", "É", "b a", " b", "b ", "a\u{301}", "[x]", "好", "[X]b", "ba"][..])
            .prop_map(String::from),
        // The reference panics where one token of whitespace takes another along.
        "[ab é]{1,3}".prop_filter("whitespace", |content| !content.trim().is_empty()),
    ];
    let added = vec((content, any::<[bool; 5]>()), 0..6);
    let normalizer = option::weighted(0.9, any::<([bool; 3], Option<bool>)>());
    let templates = [
        json!(null),
        json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}),
        json!({"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": false,
            "add_prefix_space": false}),
        model_file()["post_processor"].clone(),
        json!({"type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 2}}, {"SpecialToken": {"id": "x", "type_id": 1}}],
            "pair": [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "x", "type_id": 5}},
                {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"x": {"id": "x", "ids": [7, 8], "tokens": ["y", "z"]}}}),
    ];
    let prefix = select(&["##", "", "a"][..]);
    (pieces, added, normalizer, select(templates.to_vec()), prefix, 1usize..8).prop_map(
        |(pieces, added, normalizer, template, prefix, max_chars)| {
            let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(String::from);
            let vocab: serde_json::Map<_, _> =
                specials.into_iter().chain(pieces).enumerate().map(|(id, piece)| (piece, json!(id))).collect();
            // Of tokens that look the same when normalized, the reference finds any.
            let plain = |content: &str| content.to_lowercase().replace('é', "e").replace('\u{301}', "");
            let mut known = BTreeSet::new();
            let added: Vec<_> = added
                .into_iter()
                .filter(|(content, _)| known.insert(plain(content)))
                .map(|(content, [single_word, lstrip, rstrip, normalized, special])| {
                    json!({"id": 0, "content": content, "single_word": single_word, "lstrip": lstrip,
                        "rstrip": rstrip, "normalized": normalized, "special": special})
                })
                .collect();
            let normalizer = normalizer.map(|([clean_text, handle_chinese_chars, lowercase], strip_accents)| {
                json!({"type": "BertNormalizer", "clean_text": clean_text, "lowercase": lowercase,
                    "handle_chinese_chars": handle_chinese_chars, "strip_accents": strip_accents})
            });
            json!({
                "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
                "normalizer": normalizer, "pre_tokenizer": {"type": "BertPreTokenizer"},
                "post_processor": template, "decoder": null,
                "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": prefix,
                    "max_input_chars_per_word": max_chars, "vocab": vocab},
            })
        },
    )
}

fn small_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]{0,12}",
        "[ab é好]{0,16}",
        vec(
            prop_oneof![
                4 => "[abAB ]{1,4}",
                1 => select(&["[SEP]", "[UNK]", "é", "e\u{301}", "É", "A\u{301}", "İ", "好", "[x]", "[X]", "\u{a0}", ".", "_",
                    "\u{301}", "\t", "١"][..]).prop_map(String::from),
            ],
            0..12
        )
        .prop_map(|fragments| fragments.concat()),
    ]
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn any_text(text in text(), index in 0usize..25, max_len in max_len()) {
        NORMALIZERS[index].check(&text, None, max_len)?;
    }

    #[test]
    fn any_pair(text in text(), pair in text(), index in 0usize..25, max_len in max_len()) {
        NORMALIZERS[index].check(&text, Some(&pair), max_len)?;
    }

    #[test]
    fn any_vocabulary(file in small_file(), texts in vec((small_text(), option::of(small_text()), max_len()), 8)) {
        let both = Both::new(&file);
        for (text, pair, max_len) in &texts {
            both.check(text, pair.as_deref(), *max_len)?;
        }
    }
}

#[test]
fn long_texts_in_pieces() {
    let both = &NORMALIZERS[21];
    let sentence =
        "The naïve café's crème brûlée, it won 3.5 stars!\nNo a\u{301}\u{327} \u{301} [SEP] 我喜欢 unaffable-ness. ";
    let text = sentence.repeat(300);
    for max_len in [None, Some(2), Some(3), Some(128), Some(512), Some(2000)] {
        both.check(&text, None, max_len).unwrap();
    }
    let unbroken = text.replace([' ', '\n'], "");
    both.check(&unbroken, None, Some(512)).unwrap();
    both.check(&text, Some(&unbroken), Some(509)).unwrap();
    both.check(&unbroken, Some(&text), Some(510)).unwrap();
}

#[test]
fn a_megabyte() {
    let tokenizer = Tokenizer::from_json(include_bytes!("../model/tokenizer.json")).unwrap();
    let words = "an excellent film ".repeat(60_000);
    assert_eq!(tokenizer.encode(&words, None, 512).ids.len(), 512);
    assert_eq!(tokenizer.encode(&words, None, usize::MAX).ids.len(), 180_002);
    // One word; combining characters without a base, in descending order; brackets that begin no token.
    for unit in ["a", "\u{1d16d}\u{1b44}", "[", "[SE", "[SEP]", "好", "\u{301}"] {
        let text = unit.repeat(1_000_000 / unit.len());
        assert!(tokenizer.encode(&text, None, 512).ids.len() <= 512);
    }
}

/// `vocab.txt` with the settings of `tokenizer_config.json`, and the `tokenizer.json` that is the same.
#[test]
fn vocab_txt() {
    let file = model_file();
    let mut pieces: Vec<(&String, u64)> =
        file["model"]["vocab"].as_object().unwrap().iter().map(|(k, v)| (k, v.as_u64().unwrap())).collect();
    pieces.sort_by_key(|(_, id)| *id);
    let lines: Vec<&str> = pieces.iter().map(|(piece, _)| piece.as_str()).collect();
    let texts = ["Café déjà VU [SEP] naïve 我喜欢", "", "İstanbul [MASK]ed Ångström"];
    for (config, settings) in [
        (json!({}), (true, Value::Null, true)),
        (json!({"do_lower_case": true, "strip_accents": null}), (true, Value::Null, true)),
        (json!({"do_lower_case": false, "tokenizer_class": "BertTokenizer"}), (false, Value::Null, true)),
        (json!({"strip_accents": false, "tokenizer_class": "DistilBertTokenizerFast"}), (true, json!(false), true)),
        (json!({"tokenize_chinese_chars": false}), (true, Value::Null, false)),
    ] {
        let config = TokenizerConfig::from_json(config.to_string().as_bytes()).unwrap();
        let mut file = file.clone();
        file["normalizer"]["lowercase"] = json!(settings.0);
        file["normalizer"]["strip_accents"] = settings.1;
        file["normalizer"]["handle_chinese_chars"] = json!(settings.2);
        let json = Tokenizer::from_json(file.to_string().as_bytes()).unwrap();
        for text in [lines.join("\n"), lines.join("\r\n") + "\r\n"] {
            let vocab = Tokenizer::from_vocab(text.as_bytes(), &config).unwrap();
            for text in texts {
                assert_eq!(vocab.encode(text, Some("b"), 99), json.encode(text, Some("b"), 99), "{text:?}");
            }
        }
    }
}

#[test]
fn tokens_of_whitespace() {
    let mut file = model_file();
    let token = json!({"id": 8192, "content": " ", "single_word": false, "lstrip": true, "rstrip": true,
        "normalized": false, "special": false});
    file["added_tokens"].as_array_mut().unwrap().push(token);
    let both = Both::new(&file);
    both.check("  ", None, None).unwrap();
    assert_eq!(both.ours.encode("a     b", None, 9).ids, [2, 43, 8192, 44, 3]);
}

#[test]
fn special_tokens_of_a_configuration() {
    let config = json!({
        "cls_token": {"content": "<s>", "lstrip": false, "rstrip": false, "normalized": false, "single_word": false},
        "sep_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
        "mask_token": {"content": "<mask>", "lstrip": true},
        "added_tokens_decoder": {"9": {"content": "<new>", "special": true, "normalized": false}},
        "model_max_length": 1e30,
    });
    let config = TokenizerConfig::from_json(config.to_string().as_bytes()).unwrap();
    assert_eq!((config.model_max_length, config.pad_token()), (None, Some("<pad>")));
    let vocab = b"<pad>\n<unk>\n<s>\n</s>\na\nb\n<mask>\n";
    let tokenizer = Tokenizer::from_vocab(vocab, &config).unwrap();
    assert_eq!(tokenizer.encode("a  <mask> b <new>c", None, 99).ids, [2, 4, 6, 5, 9, 1, 3]);
    assert_eq!((tokenizer.token_to_id("<new>"), tokenizer.id_to_token(9)), (Some(9), Some("<new>")));
    assert_eq!((tokenizer.pad_id(), tokenizer.id_to_token(4), tokenizer.id_to_token(99)), (0, Some("a"), None));
}

#[test]
fn maximum_length_below_the_special_tokens() {
    let tokenizer = Tokenizer::from_json(include_bytes!("../model/tokenizer.json")).unwrap();
    for max_len in 0..=2 {
        assert_eq!(tokenizer.encode("good", None, max_len).ids, [2, 3]);
        assert_eq!(tokenizer.encode("good", Some("bad"), max_len).ids, [2, 3, 3]);
    }
}

/// What is wrong with a tokenizer file.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut file = model_file();
    change(&mut file);
    Tokenizer::from_json(file.to_string().as_bytes()).err().expect("a refusal").to_string()
}

#[test]
fn damaged_files_are_refused() {
    let lacks = "the vocabulary lacks '[UNK]', which is the unk_token";
    assert_eq!(refusal(|file| file["model"]["vocab"] = json!({"a": 0})), lacks);
    assert_eq!(refusal(|file| file["model"]["vocab"] = Value::Null), lacks);
    let error = refusal(|file| file["model"]["vocab"] = json!({"a": -1}));
    assert!(error.contains("expected an integer from 0 to 4294967295 at byte"), "{error}");
    let error = refusal(|file| file["post_processor"]["special_tokens"] = json!({}));
    assert_eq!(
        error,
        "the tokenizer's post_processor names a token that it does not list, or a text other than A and B"
    );
    let error = refusal(|file| file["post_processor"]["single"] = json!([{"Sequence": {"id": "B", "type_id": 0}}]));
    assert_eq!(error, "the tokenizer's post_processor uses a second text where there is one");
    let error = refusal(|file| drop(file.as_object_mut().unwrap().remove("model")));
    assert!(error.starts_with("the tokenizer's model is missing; what works is WordPiece"));
    let config = TokenizerConfig::from_json(br#"{"tokenizer_class": "BertJapaneseTokenizer"}"#).unwrap();
    let error = Tokenizer::from_vocab(b"[UNK]\n[CLS]\n[SEP]", &config).err().unwrap().to_string();
    assert!(error.starts_with("the tokenizer's tokenizer_class is BertJapaneseTokenizer; what works is BertTokenizer"));

    let vocab = |text: &[u8]| Tokenizer::from_vocab(text, &TokenizerConfig::default()).err().unwrap().to_string();
    assert_eq!(vocab(b"[UNK]\n[CLS]"), "the vocabulary lacks '[SEP]', which is the sep_token");
    assert_eq!(vocab(b"[SEP]\n[UNK]"), "the vocabulary lacks '[CLS]', which is the cls_token");
    assert_eq!(vocab(b""), lacks);
    assert_eq!(vocab(b"[UNK]\n\xff"), "vocab.txt is not UTF-8 at byte 6");
}

/// Ids need be neither distinct nor without gaps; a piece that is there twice has the last id.
#[test]
fn odd_vocabularies_work() {
    let mut file = model_file();
    file["model"]["vocab"] = json!({"[UNK]": 7, "[CLS]": 2, "[SEP]": 3, "a": 7, "b": 4000000000u32, "##b": 0});
    let both = Both::new(&file);
    for text in ["a b ab c", "[MASK] [PAD]", ""] {
        both.check(text, None, None).unwrap();
    }
    let text = include_str!("../model/tokenizer.json").replace("\"vocab\": {", "\"vocab\": {\"good\": 4, \"good\": 5,");
    let tokenizer = Tokenizer::from_json(text.as_bytes()).unwrap();
    let reference = tokenizers::Tokenizer::from_bytes(text.as_bytes()).unwrap();
    assert_eq!(tokenizer.token_to_id("good"), reference.token_to_id("good"));
    let vocab = b"[UNK]\n[CLS]\n[SEP]\na\nb\na";
    let tokenizer = Tokenizer::from_vocab(vocab, &TokenizerConfig::default()).unwrap();
    assert_eq!(tokenizer.encode("a b", None, 9).ids, [1, 5, 4, 2]);
}

proptest! {
    /// Whatever is done to a file, there is a tokenizer or an error.
    #[test]
    fn no_file_makes_it_panic(at in 0usize..6000, bytes in vec(any::<u8>(), 0..4), cut in 0usize..9) {
        let mut file = model_file();
        file["model"]["vocab"] = json!({"[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "##a": 5});
        let mut file = serde_json::to_vec_pretty(&file).unwrap();
        let at = at.min(file.len());
        file.splice(at..(at + cut).min(file.len()), bytes);
        for file in [&file[..], &file[..at]] {
            if let Ok(tokenizer) = Tokenizer::from_json(file) {
                tokenizer.encode("aa [SEP] é", Some("b"), 7);
            }
            let config = TokenizerConfig::from_json(file).unwrap_or_default();
            let _ = Tokenizer::from_vocab(file, &config);
        }
    }
}
