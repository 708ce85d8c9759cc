//! A file of any content is refused or runs.
#![no_main]

use fourlane_graph::{Data, Session, TensorView};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let Ok(model) = fourlane_onnx::load(bytes, &fourlane_onnx::NoExternalData) else { return };
    let Ok(mut session) = Session::new(model) else { return };
    let names: Vec<String> = session.inputs().iter().map(|p| p.name.clone()).collect();
    let view = TensorView { shape: &[2, 3], data: Data::I64(&[1, 2, 0, 1, 0, 0]) };
    let inputs: Vec<(&str, TensorView)> = names.iter().map(|n| (n.as_str(), view)).collect();
    let _ = session.run(&inputs).map(|outputs| outputs.iter().count());
});
