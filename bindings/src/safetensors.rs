//! The header of a safetensors file, for pages: natively the crate of that name reads it.

use crate::json::{Json, JsonError};
use fourlane_onnx::StoredTensor;

/// The tensors in a header; numbers are at most 32 bits wide, as memory is. What it says of them is not checked: the loader does that for those that it wants.
///
/// # Errors
///
/// If this is no JSON of that form.
pub(crate) fn read(header: &[u8]) -> Result<Vec<StoredTensor>, JsonError> {
    let mut json = Json::new(header);
    let mut tensors = Vec::new();
    json.object();
    while let Some(key) = json.next_key() {
        if key == "__metadata__" {
            json.skip();
            continue;
        }
        let name = key.into_owned();
        let mut tensor = StoredTensor { name, dtype: String::new(), shape: Vec::new(), data_offsets: [u64::MAX; 2] };
        json.object();
        while let Some(key) = json.next_key() {
            match &*key {
                "dtype" => tensor.dtype = json.text(),
                "shape" => {
                    json.array();
                    while json.next_item() {
                        tensor.shape.push(json.u32().into());
                    }
                }
                "data_offsets" => {
                    json.array();
                    let mut places = tensor.data_offsets.iter_mut();
                    while json.next_item() {
                        let number = json.u32().into();
                        match places.next() {
                            Some(place) => *place = number,
                            None => json.fail_here("expected two offsets before"),
                        }
                    }
                }
                _ => json.skip(),
            }
        }
        tensors.push(tensor);
    }
    json.finish()?;
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourlane_onnx::{ExternalData, NoExternalData};
    use proptest::prelude::*;

    /// By the crate.
    fn reference(header: &[u8]) -> Result<Vec<StoredTensor>, String> {
        NoExternalData.safetensors(header)
    }

    #[test]
    fn what_is_wrong_and_where() {
        let error = |header: &str| read(header.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("[]"), "expected an object at byte 0");
        assert_eq!(error(r#"{"w":1}"#), "expected an object at byte 5");
        assert_eq!(error(r#"{"w":{"shape":[-1]}}"#), "expected an integer from 0 to 4294967295 at byte 15");
        assert_eq!(error(r#"{"w":{"data_offsets":[1,2,3]}}"#), "expected two offsets before at byte 27");
        assert!(read(&[b'['; 100_000]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Headers as writers make them, in any order and with any spaces between.
        #[test]
        fn headers_are_read_as_by_the_crate(
            tensors in prop::collection::hash_map("[a-z.\u{e9}]{1,8}", prop::collection::vec(0u64..5, 0..4), 0..6),
            space in "[ \n]{0,3}", reversed: bool,
        ) {
            let mut at = 0;
            let mut parts = vec![format!(r#""__metadata__":{{{space}"format":"pt"}}"#)];
            for (name, shape) in &tensors {
                let end = at + 2 * shape.iter().product::<u64>();
                let offsets = format!(r#""data_offsets":[{at},{space}{end}]"#);
                parts.push(format!(r#""{name}":{{"dtype":{space}"BF16","shape":{shape:?},{offsets}}}"#));
                at = end;
            }
            if reversed {
                parts.reverse();
            }
            let header = format!("{{{}}}{space}", parts.join(","));
            let sorted = |mut tensors: Vec<StoredTensor>| {
                tensors.sort_by(|a, b| a.name.cmp(&b.name));
                tensors
            };
            prop_assert_eq!(sorted(read(header.as_bytes()).unwrap()), sorted(reference(header.as_bytes()).unwrap()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(header in prop::collection::vec(prop::sample::select(&b"{}[]\",:0129-.e w\xff"[..]), 0..60)) {
            let _ = read(&header);
        }
    }
}
