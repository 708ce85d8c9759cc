//! A file of any content, in pieces of any size, is refused or runs, on inputs of any shape, again and again. Files beside
//! it have the same content.
#![no_main]

use bytes::Bytes;
use fourlane_graph::ir::DType;
use fourlane_graph::{Data, Session, TensorView};
use fourlane_onnx::{ExternalData, File, ModelReader};
use libfuzzer_sys::fuzz_target;

struct Beside(Bytes);

impl ExternalData for Beside {
    fn size(&self, _location: &str) -> Result<u64, String> {
        Ok(self.0.len() as u64)
    }

    fn read(&self, _location: &str, offset: u64, length: usize) -> Result<Bytes, String> {
        // Within the size, as promised: else this panics, which is a finding.
        Ok(self.0.slice(offset as usize..offset as usize + length))
    }
}

fn read(bytes: &[u8]) -> Option<File> {
    // Nothing is cut off to choose the pieces by, so that real models are good first inputs.
    let mut reader = ModelReader::new((bytes.len() % 2 == 0).then_some(bytes.len() as u64));
    for piece in bytes.chunks(bytes.len() % 257 + 1) {
        reader.feed(piece).ok()?;
    }
    reader.finish().ok()
}

fuzz_target!(|bytes: &[u8]| {
    let beside = Beside(Bytes::copy_from_slice(bytes));
    let Some(Ok(model)) = read(bytes).map(|file| file.load(&beside)) else { return };
    let Ok(mut session) = Session::new(model) else { return };
    let ports: Vec<(String, DType)> = session.inputs().iter().map(|port| (port.name.clone(), port.dtype)).collect();
    for shape in [&[2, 3][..], &[1, 5], &[2, 3], &[0, 4], &[3, 1], &[6], &[1, 2, 3]] {
        let count = shape.iter().product();
        let inputs: Vec<(&str, TensorView)> = ports
            .iter()
            .map(|(name, dtype)| {
                let data = match dtype {
                    DType::F32 => Data::F32(&[0.5, -2.0, 1.0, 0.0, 3.0, 1.0][..count]),
                    _ => Data::I64(&[1, 2, 0, 1, 0, 0][..count]),
                };
                (name.as_str(), TensorView { shape, data })
            })
            .collect();
        let _ = session.run(&inputs).map(|outputs| outputs.iter().count());
    }
});
