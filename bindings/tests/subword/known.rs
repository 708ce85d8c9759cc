//! The tokenizers that users have, with models that are trained here.

use crate::charsmap::charsmap;
use crate::reference::Both;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use unicode_normalization_alignments::UnicodeNormalization;

/// What the trainers get to see.
fn corpus() -> Vec<String> {
    let files = [include_str!("main.rs"), include_str!("../tokenizer.rs"), include_str!("../../../README.md")];
    let odd = "Größe café naïve 我喜欢这部电影 とても良い映画 это очень хорошо ένα εξαιρετικό 😀🎉👍🏽 हिन्दी العربية ";
    files.iter().flat_map(|file| file.lines()).map(|line| format!("{line} {odd}")).collect()
}

pub const ADDED: [(&str, bool, bool); 5] = [
    ("<s>", false, true),
    ("<pad>", false, true),
    ("</s>", false, true),
    ("<unk>", false, true),
    ("<mask>", true, false),
];

/// As RoBERTa and XLM-R have them: `<mask>` takes the space before it along.
pub fn added_tokens() -> Value {
    ADDED
        .iter()
        .zip(0..)
        .map(|((content, lstrip, normalized), id)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": lstrip, "rstrip": false,
            "normalized": normalized, "special": true})
        })
        .collect()
}

pub fn file(model: Value, normalizer: Value, pre_tokenizer: Value, post_processor: Value, added: Value) -> Value {
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": null, "model": model})
}

pub fn roberta_processing() -> Value {
    json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": true,
        "add_prefix_space": false})
}

pub fn template() -> Value {
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

/// What SentencePiece's `nmt_nfkc` does, as far as these characters go.
pub static NMT_NFKC: LazyLock<Value> = LazyLock::new(|| {
    let mut replacements = BTreeMap::new();
    let mut add = |from: &str, to: &str| drop(replacements.insert(from.to_string(), to.to_string()));
    for c in ('\u{a0}'..='\u{24f}')
        .chain('\u{2000}'..='\u{215f}')
        .chain('\u{fb00}'..='\u{fb06}')
        .chain('\u{ff01}'..='\u{ff9f}')
    {
        let normal: String = c.to_string().nfkc().map(|(c, _)| c).collect();
        if normal.chars().ne([c]) {
            add(&c.to_string(), &normal);
        }
        let decomposed: String = c.to_string().nfd().map(|(c, _)| c).collect();
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

pub fn replace(pattern: Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

pub fn sequence_of(normalizers: Vec<Value>) -> Value {
    json!({"type": "Sequence", "normalizers": normalizers})
}

pub fn metaspace() -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true})
}

/// The tokenizers that users have.
pub static KINDS: LazyLock<Vec<Both>> = LazyLock::new(|| {
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
