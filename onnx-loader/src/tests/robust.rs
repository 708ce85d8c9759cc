//! Nothing that a file contains makes the loader panic.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;

/// A file that takes most paths: ports, weights in several fields, external data, attributes of all kinds, subtypes.
pub(super) fn sample() -> Vec<u8> {
    let location = StringStringEntry { key: "location".into(), value: "x".into() };
    let outside = TensorProto {
        data_location: 1,
        external_data: vec![location],
        ..TensorProto { name: "e".into(), data_type: data_type::UINT8, dims: vec![3], ..Default::default() }
    };
    file(17)
        .input("x", &["batch", "seq", "8"])
        .typed_input("mask", data_type::INT32, &["batch", "seq"])
        .initializer(zeros("w", data_type::FLOAT, &[8, 24], 768))
        .initializer(floats_tensor("bias", &[24], &[0.5; 24]))
        .initializer(ints_tensor("shape", &[3], &[0, 0, -1]))
        .initializer(TensorProto {
            double_data: vec![1.0],
            data_type: data_type::DOUBLE,
            ..floats_tensor("d", &[], &[])
        })
        .initializer(outside)
        .output("out")
        .output("parts1")
        .node("com.microsoft:Attention", "x w bias mask", "a", vec![int("num_heads", 2), int("unidirectional", 1)])
        .node("Reshape", "a shape", "r", vec![])
        .node("Constant", "", "c", vec![with_tensor("value", ints_tensor("", &[1], &[1]))])
        .node("Unsqueeze", "r c", "u", vec![])
        .node("Transpose", "u", "t", vec![ints("perm", &[0, 1, 3, 2])])
        .node("Softmax", "t", "s", vec![int("axis", -1)])
        .node("Pow", "s d", "p", vec![])
        .node("Clip", "p", "o", vec![float("min", 0.0)])
        .node("Gelu", "o", "out", vec![string("approximate", "none")])
        .node("Split", "out", "parts0 parts1", vec![int("axis", 1)])
        .node("Gather", "e mask", "unused", vec![])
        .encode_to_vec()
}

fn load_either_way(bytes: Vec<u8>) {
    let outside = HashMap::from([("x".to_owned(), Bytes::from_static(b"abc"))]);
    let file = Bytes::from(bytes);
    if let Err(error) = load(file.clone(), &outside) {
        assert!(!error.to_string().is_empty());
    }
    let _ = crate::summarize(&file);
}

#[test]
fn the_sample_loads() {
    let outside = HashMap::from([("x".to_owned(), Bytes::from_static(b"abc"))]);
    load(sample().into(), &outside).unwrap();
}

#[test]
fn truncated_files_are_refused_or_loaded() {
    let bytes = sample();
    (0..bytes.len()).for_each(|length| load_either_way(bytes[..length].to_vec()));
}

#[test]
fn any_single_byte_may_be_wrong() {
    let bytes = sample();
    for index in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[index] ^ 1, bytes[index] ^ 8] {
            let mut bytes = bytes.clone();
            bytes[index] = value;
            load_either_way(bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_may_be_wrong(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        copy in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample();
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        // A piece from elsewhere in the file, so that lengths and tags are plausible where they do not belong.
        let (cut, copy) = (cut.index(bytes.len()), copy.index(bytes.len()));
        let piece = bytes[copy..(copy + 40).min(bytes.len())].to_vec();
        bytes.splice(cut..(cut + piece.len()).min(bytes.len()), piece);
        load_either_way(bytes);
    }

    #[test]
    fn any_bytes_are_no_model(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        load_either_way(bytes);
    }
}
