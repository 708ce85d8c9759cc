//! Pieces of any size give what the protobuf decoder gives.

use super::robust::sample;
use super::*;
use crate::File;
use crate::ModelReader;
use crate::proto::{GraphProto, ModelProto};
use proptest::prelude::*;

/// Reads `bytes` in pieces of these sizes, again and again.
fn feed(bytes: &[u8], sizes: &[usize], length: Option<u64>) -> Result<ModelProto, LoadError> {
    let mut reader = ModelReader::new(length);
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        reader.feed(piece)?;
        rest = behind;
    }
    reader.finish().map(|File(model)| model)
}

fn committed(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/models/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn every_committed_model_is_the_same_in_pieces() {
    let mut count = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "onnx") {
            let bytes = std::fs::read(&path).unwrap();
            let whole = ModelProto::decode(bytes.as_slice()).unwrap();
            for (sizes, length) in [(&[1][..], None), (&[7, 1 << 20], Some(0)), (&[usize::MAX], Some(u64::MAX))] {
                assert!(feed(&bytes, sizes, length).unwrap() == whole, "{}", path.display());
            }
            count += 1;
        }
    }
    assert!(count > 4);
}

#[test]
fn what_is_empty_is_complete() {
    let empty = ModelProto { graph: Some(GraphProto::default()), ..ModelProto::default() };
    let tensor = TensorProto { raw_data: Some(Vec::new()), ..TensorProto::default() };
    let last = ModelProto {
        graph: Some(GraphProto { initializer: vec![TensorProto::default(), tensor], ..GraphProto::default() }),
        ..ModelProto::default()
    };
    for model in [ModelProto::default(), empty, last] {
        assert_eq!(feed(&model.encode_to_vec(), &[1], None).unwrap(), model);
    }
}

#[test]
fn cut_off_anywhere_is_as_before() {
    let bytes = sample();
    for length in 0..bytes.len() {
        let whole = ModelProto::decode(&bytes[..length]).map_err(LoadError::from);
        assert_eq!(feed(&bytes[..length], &[3], None), whole, "the first {length} bytes");
    }
}

#[test]
fn numbers_have_ten_digits_at_most() {
    let key = |digits: &[u8]| feed(digits, &[1], None).map(drop);
    assert!(key(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_ok());
    assert!(key(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00]).is_err());
    // A length that ends behind all positions, a field number 0, a key of more than 32 bits, a group.
    assert!(key(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_err());
    assert!(key(&[0x00, 0x00]).is_err());
    assert!(key(&[0x88, 0x80, 0x80, 0x80, 0x10, 0x00]).is_err());
    assert!(key(&[0x0b, 0x0c]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_of_any_size(sizes in prop::collection::vec(1usize..3000, 1..20), length in prop::option::of(0u64..1 << 20)) {
        let bytes = committed("electra-e2025-ts-sdpa-op14-bertopt-mha.onnx");
        let whole = ModelProto::decode(bytes.as_slice()).unwrap();
        prop_assert!(feed(&bytes, &sizes, length).unwrap() == whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is damaged is refused by both, or the same to both; but for groups, which the decoder skips.
    #[test]
    fn damage_is_seen(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        sizes in prop::collection::vec(1usize..50, 1..5),
    ) {
        let mut bytes = sample();
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        let pieces = feed(&bytes, &sizes, None);
        prop_assert!(pieces == feed(&bytes, &[usize::MAX], Some(bytes.len() as u64)));
        if let Ok(pieces) = pieces {
            let whole = ModelProto::decode(bytes.as_slice()).unwrap();
            prop_assert_eq!(format!("{pieces:?}"), format!("{whole:?}"));
        }
    }
}
