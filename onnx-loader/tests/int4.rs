//! What builds with and without the cargo feature `int4` say to weights in blocks of 4 bits. `cargo xtask test` runs both.

#![cfg(not(target_arch = "wasm32"))]

use fourlane_onnx::{File, NoExternalData};
use std::path::Path;

#[test]
fn weights_in_blocks_load_or_are_refused_by_name() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/electra-e2025-tjs-q4.onnx");
    let loaded = File::open(&path).and_then(|file| file.load(&NoExternalData));
    let refused = "com.microsoft:MatMulNBits (in a build without the cargo feature 'int4')";
    let error = loaded.err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(error.contains(refused), cfg!(not(feature = "int4")), "{error}");
    assert_eq!(error.is_empty(), cfg!(feature = "int4"), "{error}");
}
