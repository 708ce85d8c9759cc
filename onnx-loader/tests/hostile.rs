//! Whatever a file says, the answer is a result or an error: loading, preparing and running never panic.

use fourlane_graph::{Data, Session, TensorView};
use fourlane_onnx::NoExternalData;
use proptest::prelude::*;
use std::path::Path;

fn model() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/electra-e2025-ts-sdpa-op14-bertopt-mha.onnx");
    std::fs::read(path).unwrap()
}

/// Loads and runs a file as far as it goes.
fn try_everything(bytes: Vec<u8>) {
    let Ok(model) = fourlane_onnx::load(bytes.into(), &NoExternalData) else { return };
    let Ok(mut session) = Session::new(model) else { return };
    let (ids, ones) = ([2, 300, 511, 3, 0, 0], [1, 1, 1, 1, 0, 0]);
    let names: Vec<String> = session.inputs().iter().map(|p| p.name.clone()).collect();
    for shape in [[2, 3], [1, 6]] {
        let data = |name: &str| Data::I64(if name == "input_ids" { &ids } else { &ones });
        let inputs: Vec<_> = names.iter().map(|n| (n.as_str(), TensorView { shape: &shape, data: data(n) })).collect();
        let _ = session.run(&inputs).map(|outputs| outputs.iter().count());
    }
}

/// Nodes come first in a file. Weights are most of the rest, and changing them changes little: changes aim at the nodes.
const NODES: usize = 7000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = model();
        for (at, value) in changes {
            bytes[at.index(NODES)] = value;
        }
        try_everything(bytes);
    }

    #[test]
    fn flipped_small_numbers(at in any::<prop::sample::Index>(), delta in -2i8..=2) {
        let mut bytes = model();
        let at = at.index(NODES);
        bytes[at] = bytes[at].wrapping_add_signed(delta);
        try_everything(bytes);
    }

    #[test]
    fn cut_off(at in any::<prop::sample::Index>()) {
        let bytes = model();
        try_everything(bytes[..at.index(bytes.len())].to_vec());
    }
}
