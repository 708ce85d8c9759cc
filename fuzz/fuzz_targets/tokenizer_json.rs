//! A tokenizer file of any content is refused or works.
#![no_main]

use fourlane::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tokenizer) = Tokenizer::from_json(bytes) {
        tokenizer.encode("A film, two  hours' 12 [SEP] <mask> naïve ½影.", Some("x"), 12);
    }
});
