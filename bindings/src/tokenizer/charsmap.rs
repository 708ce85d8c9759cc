//! SentencePiece's `precompiled_charsmap`: which grapheme clusters and characters are replaced, and by what.
//!
//! The bytes are the size of a trie, the trie as a double array (units of 32 bits, as the library Darts-clone has them),
//! and the replacements, each ended by a zero byte; the values in the trie are offsets of these.

use super::unicode::graphemes::Graphemes;

/// The map.
pub(crate) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
    graphemes: Graphemes,
}

/// Longer clusters are taken character by character.
const LONGEST_CLUSTER: usize = 5;

impl Charsmap {
    /// Reads the map, which is Base64 in a tokenizer file.
    pub fn new(base64: &str) -> Option<Self> {
        let bytes = decode(base64)?;
        let (size, rest) = bytes.split_first_chunk()?;
        let (trie, replacements) = rest.split_at_checked(u32::from_le_bytes(*size) as usize / 4 * 4)?;
        let (units, _) = trie.as_chunks();
        Some(Charsmap {
            units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(),
            replacements: std::str::from_utf8(replacements).ok()?.into(),
            graphemes: Graphemes::new(),
        })
    }

    /// The text with everything replaced.
    pub fn normalize(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let (cluster, after) = rest.split_at_checked(self.graphemes.first(rest)).unwrap_or((rest, ""));
            rest = after;
            let whole = if cluster.len() <= LONGEST_CLUSTER { self.replacement(cluster) } else { None };
            if let Some(replacement) = whole {
                out.push_str(replacement);
                continue;
            }
            for c in cluster.chars() {
                match self.replacement(c.encode_utf8(&mut [0; 4])) {
                    Some(replacement) => out.push_str(replacement),
                    None => out.push(c),
                }
            }
        }
        out
    }

    /// What replaces a text: the replacement of the shortest key that the text begins with.
    fn replacement(&self, text: &str) -> Option<&str> {
        let unit = |place: usize| self.units.get(place).copied();
        let mut place = offset(unit(0)?);
        for byte in text.bytes().take_while(|&byte| byte != 0) {
            place ^= usize::from(byte);
            let node = unit(place)?;
            // The highest bit tells values from labels.
            if node & 0x8000_00ff != u32::from(byte) {
                return None;
            }
            place ^= offset(node);
            let has_value = node & 0x100 != 0;
            if has_value {
                let start = unit(place)? & 0x7fff_ffff;
                let rest = self.replacements.get(start as usize..)?;
                return rest.split('\0').next();
            }
        }
        None
    }
}

/// How far the children of a unit are from it.
fn offset(unit: u32) -> usize {
    ((unit >> 10) as usize) << ((unit & 0x200) >> 6)
}

/// The bytes of a Base64 text; `None` if it is none.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut buffer, mut bits) = (0u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        buffer = buffer << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
        }
    }
    Some(bytes)
}
