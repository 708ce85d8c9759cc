//! Holds byte-level BPE and Unigram tokenizers to the Hugging Face `tokenizers` library: same files, same texts, same
//! ids. The files are trained or made up here.

#![cfg(not(target_arch = "wasm32"))]

mod reference;

use fourlane::Tokenizer;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use reference::{Both, cases, fragment, max_len};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use tokenizers::NormalizedString;
use tokenizers::Normalizer;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

/// What the trainers get to see.
fn corpus() -> Vec<String> {
    let files = [include_str!("subword.rs"), include_str!("tokenizer.rs"), include_str!("../../README.md")];
    let odd = "Größe café naïve 我喜欢这部电影 とても良い映画 это очень хорошо ένα εξαιρετικό 😀🎉👍🏽 हिन्दी العربية ";
    files.iter().flat_map(|file| file.lines()).map(|line| format!("{line} {odd}")).collect()
}

const ADDED: [(&str, bool, bool); 5] = [
    ("<s>", false, true),
    ("<pad>", false, true),
    ("</s>", false, true),
    ("<unk>", false, true),
    ("<mask>", true, false),
];

/// As RoBERTa and XLM-R have them: `<mask>` takes the space before it along.
fn added_tokens() -> Value {
    ADDED
        .iter()
        .zip(0..)
        .map(|((content, lstrip, normalized), id)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": lstrip, "rstrip": false,
            "normalized": normalized, "special": true})
        })
        .collect()
}

fn file(model: Value, normalizer: Value, pre_tokenizer: Value, post_processor: Value, added: Value) -> Value {
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": null, "model": model})
}

fn roberta_processing() -> Value {
    json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": true,
        "add_prefix_space": false})
}

fn template() -> Value {
    let special = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    let sequence = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    json!({"type": "TemplateProcessing",
        "single": [special("<s>"), sequence("A"), special("</s>")],
        "pair": [special("<s>"), sequence("A"), special("</s>"), special("</s>"), sequence("B"), special("</s>")],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
            "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}})
}

/// A byte-level BPE as of RoBERTa, trained on the corpus.
static BPE_MODEL: LazyLock<Value> = LazyLock::new(|| {
    let mut tokenizer = tokenizers::Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    let specials = ADDED.map(|(content, ..)| tokenizers::AddedToken::from(content, true)).to_vec();
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(1500)
        .special_tokens(specials)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut TrainerWrapper::from(trainer), corpus().into_iter()).unwrap();
    model_of(&tokenizer)
});

/// A Unigram as of XLM-R, trained on the corpus.
static UNIGRAM_MODEL: LazyLock<Value> = LazyLock::new(|| {
    let mut tokenizer = tokenizers::Tokenizer::new(Unigram::default());
    let metaspace: tokenizers::PreTokenizerWrapper = serde_json::from_value(
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}),
    )
    .unwrap();
    tokenizer.with_pre_tokenizer(Some(metaspace));
    let specials = ADDED.map(|(content, ..)| tokenizers::AddedToken::from(content, true)).to_vec();
    let trainer = UnigramTrainer::builder()
        .show_progress(false)
        .vocab_size(1200)
        .special_tokens(specials)
        .unk_token(Some("<unk>".into()))
        .build()
        .unwrap();
    tokenizer.train(&mut TrainerWrapper::from(trainer), corpus().into_iter()).unwrap();
    model_of(&tokenizer)
});

fn model_of(tokenizer: &tokenizers::Tokenizer) -> Value {
    let file: Value = serde_json::from_str(&tokenizer.to_string(false).unwrap()).unwrap();
    file["model"].clone()
}

/// Merges as older files have them.
fn with_merges_in_lines(model: &Value) -> Value {
    let mut model = model.clone();
    for merge in model["merges"].as_array_mut().unwrap() {
        *merge = json!(format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()));
    }
    model
}

/// A `precompiled_charsmap` of these replacements, in Base64.
fn charsmap(replacements: &BTreeMap<String, String>) -> String {
    let mut texts = Vec::new();
    let mut units = vec![0u32; 2];
    let mut used = vec![true, false];
    // Where a key so far leads, and the keys that begin with it.
    let mut nodes = vec![(0usize, String::new().into_bytes())];
    let values: BTreeMap<&[u8], u32> = replacements
        .iter()
        .map(|(key, value)| {
            let start = texts.len() as u32;
            texts.extend_from_slice(value.as_bytes());
            texts.push(0);
            (key.as_bytes(), start)
        })
        .collect();
    while let Some((node, prefix)) = nodes.pop() {
        let mut labels: Vec<u8> = values
            .keys()
            .filter(|key| key.starts_with(&prefix) && key.len() > prefix.len())
            .map(|key| key[prefix.len()])
            .collect();
        labels.dedup();
        let value = values.get(&prefix[..]);
        let mut wanted = labels.clone();
        wanted.extend(value.map(|_| 0));
        let base =
            (1..).find(|base| wanted.iter().all(|&label| used.get(base ^ usize::from(label)) != Some(&true))).unwrap();
        let most = wanted.iter().map(|&label| base ^ usize::from(label)).max().unwrap_or(0);
        units.resize(units.len().max(most + 1), 0);
        used.resize(used.len().max(most + 1), false);
        units[node] |= ((base ^ node) as u32) << 10 | u32::from(value.is_some()) << 8;
        if let Some(value) = value {
            units[base] = 1 << 31 | value;
            used[base] = true;
        }
        for label in labels {
            let child = base ^ usize::from(label);
            units[child] = u32::from(label);
            used[child] = true;
            nodes.push((child, [&prefix[..], &[label]].concat()));
        }
    }
    // The reference looks at any of the 256 children that a node might have.
    units.resize((units.len() | 255) + 1, 0);
    let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
    bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.extend(texts);
    base64(&bytes)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |chunk: &[u8]| {
        let number = chunk.iter().chain([0; 2].iter()).take(3).fold(0, |number, &byte| number << 8 | usize::from(byte));
        let kept = chunk.len() + 1;
        (0..4).map(move |digit| if digit < kept { char::from(DIGITS[number >> (18 - 6 * digit) & 63]) } else { '=' })
    };
    bytes.chunks(3).flat_map(digits).collect()
}

/// What SentencePiece's `nmt_nfkc` does, as far as these characters go.
static NMT_NFKC: LazyLock<Value> = LazyLock::new(|| {
    let mut replacements = BTreeMap::new();
    let mut add = |from: &str, to: &str| drop(replacements.insert(from.to_string(), to.to_string()));
    for c in ('\u{a0}'..='\u{24f}')
        .chain('\u{2000}'..='\u{215f}')
        .chain('\u{fb00}'..='\u{fb06}')
        .chain('\u{ff01}'..='\u{ff9f}')
    {
        let normal: String =
            unicode_normalization_alignments::UnicodeNormalization::nfkc(&c.to_string()[..]).map(|(c, _)| c).collect();
        if normal.chars().ne([c]) {
            add(&c.to_string(), &normal);
        }
        let decomposed: String =
            unicode_normalization_alignments::UnicodeNormalization::nfd(&c.to_string()[..]).map(|(c, _)| c).collect();
        if decomposed.chars().count() > 1 {
            add(&decomposed, &c.to_string());
        }
    }
    for c in ('\u{1}'..=' ')
        .chain('\u{7f}'..='\u{9f}')
        .chain('\u{200b}'..='\u{200f}')
        .chain("\u{2028}\u{feff}\u{ad}\u{fffd}\u{2581}".chars())
    {
        add(&c.to_string(), if "\t\n\r \u{200b}\u{2028}\u{feff}\u{2581}".contains(c) { " " } else { "" });
    }
    json!({"type": "Precompiled", "precompiled_charsmap": charsmap(&replacements)})
});

fn replace(pattern: Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

fn sequence_of(normalizers: Vec<Value>) -> Value {
    json!({"type": "Sequence", "normalizers": normalizers})
}

fn metaspace() -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true})
}

/// The tokenizers that users have.
static KINDS: LazyLock<Vec<Both>> = LazyLock::new(|| {
    let byte_level =
        |prefix| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true});
    let roberta =
        |model: Value, prefix| file(model, Value::Null, byte_level(prefix), roberta_processing(), added_tokens());
    let unigram =
        |normalizer, pre_tokenizer| file(UNIGRAM_MODEL.clone(), normalizer, pre_tokenizer, template(), added_tokens());
    let old_metaspace = json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true, "str_rep": "▁"});
    let nmt = || NMT_NFKC.clone();
    let files = [
        // RoBERTa, and the same with the settings of GPT-2 and in the old form
        roberta(BPE_MODEL.clone(), false),
        roberta(with_merges_in_lines(&BPE_MODEL), true),
        // ModernBERT
        file(BPE_MODEL.clone(), json!({"type": "NFC"}), byte_level(false), template(), added_tokens()),
        // XLM-R as it was converted over the years
        unigram(nmt(), json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, old_metaspace]})),
        unigram(sequence_of(vec![nmt(), replace(json!({"Regex": " {2,}"}), " ")]), metaspace()),
        unigram(
            sequence_of(vec![
                nmt(),
                json!({"type": "Strip", "strip_left": false, "strip_right": true}),
                replace(json!({"Regex": " {2,}"}), "▁"),
            ]),
            metaspace(),
        ),
        // ALBERT
        unigram(
            sequence_of(vec![
                replace(json!({"String": "``"}), "\""),
                replace(json!({"String": "''"}), "\""),
                json!({"type": "NFKD"}),
                json!({"type": "StripAccents"}),
                json!({"type": "Lowercase"}),
                nmt(),
                replace(json!({"Regex": " {2,}"}), " "),
            ]),
            metaspace(),
        ),
        // DeBERTa, with words cut at punctuation
        unigram(
            sequence_of(vec![
                json!({"type": "Strip", "strip_left": true, "strip_right": true}),
                nmt(),
                replace(json!({"Regex": " {2,}"}), " "),
            ]),
            json!({"type": "Sequence", "pretokenizers": [{"type": "Punctuation", "behavior": "Isolated"}, metaspace()]}),
        ),
    ];
    files.iter().map(Both::new).collect()
});

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
                if right.starts_with(pre) {
                    let merged = format!("{left}{}", &right[pre.len()..]);
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

fn any_file() -> impl Strategy<Value = Value> {
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
