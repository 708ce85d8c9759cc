//! Makes the binary form of SentencePiece's replacements.

use std::collections::BTreeMap;

/// A `precompiled_charsmap` of these replacements, in Base64.
pub fn charsmap(replacements: &BTreeMap<String, String>) -> String {
    let mut texts = Vec::new();
    let mut units = vec![0u32; 2];
    let mut used = vec![true, false];
    // Where a key so far leads, and the keys that begin with it.
    let mut nodes = vec![(0usize, String::new().into_bytes())];
    let values: BTreeMap<&[u8], u32> = replacements
        .iter()
        .map(|(key, value)| {
            let start = texts.len() as u32;
            texts.extend_from_slice(value.as_bytes());
            texts.push(0);
            (key.as_bytes(), start)
        })
        .collect();
    while let Some((node, prefix)) = nodes.pop() {
        let mut labels: Vec<u8> = values
            .keys()
            .filter(|key| key.starts_with(&prefix) && key.len() > prefix.len())
            .map(|key| key[prefix.len()])
            .collect();
        labels.dedup();
        let value = values.get(&prefix[..]);
        let mut wanted = labels.clone();
        wanted.extend(value.map(|_| 0));
        let base =
            (1..).find(|base| wanted.iter().all(|&label| used.get(base ^ usize::from(label)) != Some(&true))).unwrap();
        let most = wanted.iter().map(|&label| base ^ usize::from(label)).max().unwrap_or(0);
        units.resize(units.len().max(most + 1), 0);
        used.resize(used.len().max(most + 1), false);
        units[node] |= ((base ^ node) as u32) << 10 | u32::from(value.is_some()) << 8;
        if let Some(value) = value {
            units[base] = 1 << 31 | value;
            used[base] = true;
        }
        for label in labels {
            let child = base ^ usize::from(label);
            units[child] = u32::from(label);
            used[child] = true;
            nodes.push((child, [&prefix[..], &[label]].concat()));
        }
    }
    // The reference looks at any of the 256 children that a node might have.
    units.resize((units.len() | 255) + 1, 0);
    let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
    bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.extend(texts);
    base64(&bytes)
}

pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |chunk: &[u8]| {
        let number = chunk.iter().chain([0; 2].iter()).take(3).fold(0, |number, &byte| number << 8 | usize::from(byte));
        let kept = chunk.len() + 1;
        (0..4).map(move |digit| if digit < kept { char::from(DIGITS[number >> (18 - 6 * digit) & 63]) } else { '=' })
    };
    bytes.chunks(3).flat_map(digits).collect()
}
