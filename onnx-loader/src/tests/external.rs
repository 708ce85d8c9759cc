//! Constants in files beside the model: found by place or by name, and every way in which they can be wrong.

use super::*;
use crate::{ExternalData, File, Folder};
use bytes::Bytes;
use fourlane_graph::ir::Tensor;
use proptest::prelude::*;

type Files = HashMap<String, Bytes>;

fn files(files: &[(&str, &[u8])]) -> Files {
    files.iter().map(|(name, bytes)| ((*name).to_owned(), Bytes::copy_from_slice(bytes))).collect()
}

/// A tensor called `name` that says this of its place.
fn placed(name: &str, data_type: i32, dims: &[i64], entries: &[(&str, &str)]) -> TensorProto {
    let entry = |&(key, value): &(&str, &str)| StringStringEntry { key: key.into(), value: value.into() };
    let external_data = entries.iter().map(entry).collect();
    TensorProto {
        name: name.into(),
        data_type,
        dims: dims.into(),
        external_data,
        data_location: 1,
        ..Default::default()
    }
}

/// A model whose outputs are these tensors.
fn model(tensors: &[TensorProto]) -> Bytes {
    let mut model = file(17);
    for tensor in tensors {
        model = model.initializer(tensor.clone()).output(&tensor.name);
    }
    model.encode_to_vec().into()
}

fn load_all(tensors: &[TensorProto], external: &dyn ExternalData) -> Result<Vec<Tensor>, LoadError> {
    let model = load(model(tensors), external)?;
    Ok(model.outputs.iter().map(|port| model.constants[&port.value].clone()).collect())
}

/// Three bytes called `w`.
fn bytes(entries: &[(&str, &str)]) -> TensorProto {
    placed("w", data_type::UINT8, &[3], entries)
}

/// What is wrong, without the words around it.
fn problem(tensor: TensorProto, external: &dyn ExternalData) -> String {
    let Err(LoadError::ExternalData { problem, tensor, .. }) = load_all(&[tensor], external) else {
        panic!("no error")
    };
    assert_eq!(tensor, "w");
    problem
}

#[test]
fn tensors_are_found_by_offset_and_length() {
    let files = files(&[("w.bin", b"0123456789"), ("parts/v.bin", b"abc")]);
    let at = ("location", "w.bin");
    let load = |entries: &[(&str, &str)]| load_all(&[bytes(entries)], &files).unwrap()[0].data.clone();
    assert_eq!(load(&[at]), "012");
    assert_eq!(load(&[at, ("offset", "7"), ("length", "3")]), "789");
    assert_eq!(load(&[at, ("offset", ""), ("checksum", "?")]), "012");
    assert_eq!(load(&[("location", "./w.bin")]), "012");

    // Several files, and several tensors in one.
    let v = placed("v", data_type::INT8, &[1, 2], &[("location", "parts/v.bin"), ("offset", "1")]);
    let all = load_all(&[bytes(&[at]), v, placed("u", data_type::UINT8, &[], &[at, ("offset", "9")])], &files).unwrap();
    assert_eq!(all.iter().map(|tensor| tensor.data.as_ref()).collect::<Vec<_>>(), [&b"012"[..], b"bc", b"9"]);
}

#[test]
fn what_a_model_asks_for_is_known_before() {
    let mut other = bytes(&[("location", "./parts/v.bin")]);
    other.name = "v".into();
    let here = TensorProto { raw_data: Some(b"abc".to_vec()), data_location: 0, ..bytes(&[("location", "no")]) };
    let tensors = [bytes(&[("location", "w.bin")]), other, bytes(&[("location", "w.bin")]), here, bytes(&[])];
    let file = File::decode(&model(&tensors)).unwrap();
    assert_eq!(file.external_files(), ["w.bin", "parts/v.bin"]);
    assert_eq!(File::decode(&[]).unwrap().external_files(), [""; 0]);
}

#[test]
fn files_and_places_are_checked() {
    let files = files(&[("w.bin", b"0123456789")]);
    let at = ("location", "w.bin");
    let error = |entries: &[(&str, &str)]| problem(bytes(entries), &files);
    let cut = "it may be cut short or of another model";
    assert_eq!(error(&[at, ("offset", "8")]), format!("3 bytes at 8 reach past its end at 10; {cut}"));
    let far = u64::MAX.to_string();
    assert_eq!(error(&[at, ("offset", &far)]), format!("3 bytes at {far} reach past its end at 10; {cut}"));
    assert_eq!(error(&[at, ("offset", "-1")]), "offset '-1' is no number of bytes");
    assert_eq!(error(&[at, ("length", "many")]), "length 'many' is no number of bytes");
    assert_eq!(error(&[at, ("length", "4")]), "4 bytes are given where its type and dimensions need 3");
    assert_eq!(error(&[("location", "other")]), "give this file along with the model");
    assert_eq!(error(&[]), "the model does not say which");
    assert_eq!(
        load_all(&[bytes(&[at])], &NoExternalData).unwrap_err().to_string(),
        "tensor 'w' is in the file 'w.bin' beside the model: give this file along with the model"
    );
}

#[test]
fn folders_are_read_and_not_left() {
    let folder = Folder(env!("CARGO_MANIFEST_DIR").into());
    let manifest = std::fs::read(folder.0.join("Cargo.toml")).unwrap();
    assert_eq!(folder.size("Cargo.toml").unwrap(), manifest.len() as u64);
    assert_eq!(folder.read("./Cargo.toml", 3, 20).unwrap(), manifest[3..23]);
    assert!(folder.read("Cargo.toml", manifest.len() as u64 - 1, 2).unwrap_err().contains("Cargo.toml"));
    for location in ["../Cargo.toml", "src/../Cargo.toml", "/etc/hosts"] {
        assert_eq!(folder.size(location).unwrap_err(), "locations must stay inside the model's folder");
    }
    assert!(folder.size("not-there.bin").unwrap_err().contains("not-there.bin"));
}

/// A safetensors file.
fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

const HEADER: &str = r#"{"__metadata__":{"format":"pt"},
    "v":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"w":{"dtype":"U8","shape":[3],"data_offsets":[4,7]}}"#;
const BY_NAME: [(&str, &str); 1] = [("location", "model.safetensors")];

fn stored(header: &str, data: &[u8]) -> Files {
    files(&[("model.safetensors", &safetensors(header, data))])
}

#[test]
fn safetensors_are_found_by_name() {
    let source = stored(HEADER, b"\0\0\x80\x3fxyz");
    let v = placed("v", data_type::FLOAT, &[], &BY_NAME);
    let all = load_all(&[v, bytes(&BY_NAME)], &source).unwrap();
    assert_eq!((all[0].floats().unwrap(), &all[1].data), (vec![1.0], &Bytes::from_static(b"xyz")));
    // With an offset it is a file as any other.
    let offset = (8 + HEADER.len() + 5).to_string();
    let placed = bytes(&[BY_NAME[0], ("offset", &offset), ("length", "3")]);
    assert_eq!(
        problem(placed.clone(), &source),
        format!(
            "3 bytes at {offset} reach past its end at {}; it may be cut short or of another model",
            8 + HEADER.len() + 7
        )
    );
    let mut longer = source;
    longer.insert("model.safetensors".into(), safetensors(HEADER, b"01234567").into());
    assert_eq!(load_all(&[placed], &longer).unwrap()[0].data, "567");
}

#[test]
fn safetensors_have_the_type_and_shape_of_the_model() {
    let source = stored(HEADER, b"0123456");
    let error = |data_type, dims: &[i64]| problem(placed("w", data_type, dims, &BY_NAME), &source);
    assert_eq!(error(data_type::INT8, &[3]), "its elements are U8 there, and int8 in the model");
    assert_eq!(error(data_type::UINT4, &[6]), "its elements are U8 there, and uint4 in the model");
    assert_eq!(error(data_type::UINT8, &[3, 1]), "its shape is [3] there, and [3, 1] in the model");
    let other = stored(r#"{"v":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#, b"012");
    assert_eq!(problem(bytes(&BY_NAME), &other), "it has no tensor of this name");
}

#[test]
fn damaged_safetensors_are_told() {
    let error = |content: Vec<u8>| problem(bytes(&BY_NAME), &files(&[("model.safetensors", &content)]));
    let start = "it is no safetensors file, or damaged: ";
    assert_eq!(error(b"short".to_vec()), format!("{start}it has 5 bytes"));
    assert_eq!(error(vec![255; 20]), format!("{start}it has 20 bytes, its header {}", u64::MAX));
    assert_eq!(
        error(safetensors(HEADER, b"")[..40].to_vec()),
        format!("{start}it has 40 bytes, its header {}", HEADER.len())
    );
    assert_eq!(
        error(safetensors(HEADER, b"01234")),
        format!(
            "3 bytes at {} reach past its end at {}; it may be cut short or of another model",
            HEADER.len() + 12,
            HEADER.len() + 13
        )
    );
    for header in ["", "[]", "{", "nul", "{\"w\":1}", "{\"w\":{\"dtype\":\"U8\",\"shape\":[3]}}", "\u{0}\u{1}"] {
        assert!(error(safetensors(header, b"012")).starts_with(start), "{header}");
    }
    assert!(error(safetensors(&"[".repeat(100_000), b"")).starts_with(start));
    assert!(error(safetensors(&r#"{"a":"#.repeat(100_000), b"")).starts_with(start));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Numbers at the limits of every type, in a header that is one otherwise.
    #[test]
    fn no_number_in_a_header_is_trusted(
        picks in prop::collection::vec(0usize..NUMBERS.len(), 12), dtypes in prop::collection::vec(0usize..4, 4),
    ) {
        let mut picks = picks.into_iter().map(|pick| NUMBERS[pick]);
        let mut next = || picks.next().unwrap_or("0");
        let mut header = String::from("{");
        for (name, dtype) in ["u", "v", "w", "x"].iter().zip(dtypes) {
            let dtype = ["U8", "F64", "F4", "C64"][dtype];
            let (dim, begin, end) = (next(), next(), next());
            header += &format!(r#""{name}":{{"dtype":"{dtype}","shape":[{dim}],"data_offsets":[{begin},{end}]}},"#);
        }
        header.pop();
        header.push('}');
        let _ = load_all(&[bytes(&BY_NAME)], &stored(&header, b"0123456789"));
    }

    #[test]
    fn no_byte_of_a_file_is_trusted(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut content = safetensors(HEADER, b"0123456");
        for (at, value) in changes {
            let at = at.index(content.len());
            content[at] = value;
        }
        let _ = load_all(&[bytes(&BY_NAME)], &files(&[("model.safetensors", &content)]));
    }
}

const NUMBERS: [&str; 14] = [
    "0",
    "1",
    "3",
    "8",
    "80",
    "-1",
    "4294967295",
    "4294967296",
    "2305843009213693951",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e3",
    "0.5",
];
