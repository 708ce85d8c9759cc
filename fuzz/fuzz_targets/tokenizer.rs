//! Any text is encoded, and what is cut off is a suffix.
#![no_main]

use fourlane::Tokenizer;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TOKENIZER: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::from_json(include_bytes!("../../bindings/model/tokenizer.json")).unwrap());

fuzz_target!(|text: &str| {
    let whole = TOKENIZER.encode(text, None, usize::MAX).ids;
    let cut = TOKENIZER.encode(text, None, 16).ids;
    assert!(cut.len() <= 16);
    // All but the closing special token.
    assert_eq!(cut[..cut.len() - 1], whole[..cut.len() - 1]);
});
