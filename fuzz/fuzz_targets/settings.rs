//! The small files beside a model, of any content, are refused or work: `vocab.txt`, `tokenizer_config.json` and
//! `config.json`.
#![no_main]

use fourlane::{ModelConfig, Tokenizer, TokenizerConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = ModelConfig::from_json(bytes);
    let config = TokenizerConfig::from_json(bytes).unwrap_or_default();
    if let Ok(tokenizer) = Tokenizer::from_vocab(bytes, &config) {
        tokenizer.encode("A film, two  hours' 12 [SEP] [MASK] naïve ½影.", Some("x"), 12);
    }
});
