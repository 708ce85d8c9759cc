//! A file of any content, in pieces of any size, is refused or runs.
#![no_main]

use fourlane_graph::{Data, Session, TensorView};
use fourlane_onnx::{File, ModelReader, NoExternalData};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8]) -> Option<File> {
    // Nothing is cut off to choose the pieces by, so that real models are good first inputs.
    let mut reader = ModelReader::new((bytes.len() % 2 == 0).then_some(bytes.len() as u64));
    for piece in bytes.chunks(bytes.len() % 257 + 1) {
        reader.feed(piece).ok()?;
    }
    reader.finish().ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(Ok(model)) = read(bytes).map(|file| file.load(&NoExternalData)) else { return };
    let Ok(mut session) = Session::new(model) else { return };
    let names: Vec<String> = session.inputs().iter().map(|p| p.name.clone()).collect();
    let view = TensorView { shape: &[2, 3], data: Data::I64(&[1, 2, 0, 1, 0, 0]) };
    let inputs: Vec<(&str, TensorView)> = names.iter().map(|n| (n.as_str(), view)).collect();
    let _ = session.run(&inputs).map(|outputs| outputs.iter().count());
});
