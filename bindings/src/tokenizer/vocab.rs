//! A vocabulary: strings with ids, and the search for the longest one that a text starts with.
//!
//! Both WordPiece and the recognition of added tokens come down to that search. Strings lie end to end in one buffer
//! and an open-addressing table of `u32` finds them, so 30,000 pieces are three allocations and half a megabyte. The
//! hash (FNV-1a) is extended byte by byte along the text: a probe per character boundary, no byte hashed twice.

/// Distinct strings, each with an id.
#[derive(Default)]
pub(crate) struct Vocab {
    /// All strings, end to end, in the order of their insertion.
    text: Vec<u8>,
    /// Where each string ends in `text`.
    ends: Vec<u32>,
    ids: Vec<u32>,
    /// Index of a string plus one, at the first free place from where its hash points; 0 is free. A power of two long.
    slots: Vec<u32>,
    /// Bytes of the longest string.
    longest: usize,
}

impl Vocab {
    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Adds a string, or gives the one that is there the new id.
    pub fn insert(&mut self, token: &str, id: u32) {
        if let Some(index) = self.find(hash(BASIS, token.as_bytes()), b"", token.as_bytes()) {
            self.ids[index] = id;
            return;
        }
        self.text.extend_from_slice(token.as_bytes());
        self.ends.push(self.text.len() as u32);
        self.ids.push(id);
        self.longest = self.longest.max(token.len());
        if self.slots.len() < 2 * self.len() {
            self.slots = vec![0; (4 * self.len()).next_power_of_two().max(16)];
            for index in 0..self.len() {
                self.enter(index);
            }
        } else {
            self.enter(self.len() - 1);
        }
    }

    /// Id of exactly this string.
    pub fn get(&self, token: &str) -> Option<u32> {
        self.find(hash(BASIS, token.as_bytes()), b"", token.as_bytes()).map(|index| self.ids[index])
    }

    /// A string that has this id: the first, if several have.
    pub fn token(&self, id: u32) -> Option<&str> {
        let index = self.ids.iter().position(|&other| other == id)?;
        std::str::from_utf8(self.string(index)).ok()
    }

    /// The longest string that consists of `head` and at least one of the characters that `text` begins with: how many
    /// bytes of `text`, and its id. Time grows with the longest string, not with the text.
    pub fn longest_prefix(&self, head: &[u8], text: &[u8]) -> Option<(usize, u32)> {
        let mut found = None;
        self.prefixes(head, text, |length, id| found = Some((length, id)));
        found
    }

    /// Calls `each` with every such string, the shortest first.
    pub fn prefixes(&self, head: &[u8], text: &[u8], mut each: impl FnMut(usize, u32)) {
        let mut state = hash(BASIS, head);
        let most = text.len().min(self.longest.saturating_sub(head.len()));
        for end in 1..=most {
            state = hash(state, &text[end - 1..end]);
            // Strings are whole characters, so a place within a character cannot be the end of one.
            if text.get(end).is_some_and(|&next| next & 0xc0 == 0x80) {
                continue;
            }
            if let Some(index) = self.find(state, head, &text[..end]) {
                each(end, self.ids[index]);
            }
        }
    }

    fn string(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }

    /// Index of the string `head` + `tail`, which has the hash `state`.
    fn find(&self, state: u32, head: &[u8], tail: &[u8]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = place(state) & mask;
        loop {
            let index = (self.slots[slot] as usize).checked_sub(1)?;
            let (start, end) = self.string(index).split_at_checked(head.len()).unwrap_or_default();
            if end == tail && start == head {
                return Some(index);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn enter(&mut self, index: usize) {
        let mask = self.slots.len() - 1;
        let mut slot = place(hash(BASIS, self.string(index))) & mask;
        while self.slots[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = index as u32 + 1;
    }
}

const BASIS: u32 = 0x811c_9dc5;

fn hash(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, &byte| (state ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Spreads the hash over the low bits, of which the table uses as many as it needs.
fn place(state: u32) -> usize {
    (state ^ state >> 15).wrapping_mul(0x9e37_79b1).rotate_left(15) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_search_through_all_finds(
            tokens in btree_map("[ab#é好]{0,4}", any::<u32>(), 0..40),
            texts in vec("[ab#é好]{0,6}", 1..20),
            head in "#{0,2}",
        ) {
            let mut vocab = Vocab::default();
            for (token, &id) in &tokens {
                vocab.insert(token, !id);
                vocab.insert(token, id);
            }
            prop_assert_eq!(vocab.len(), tokens.len());
            for text in &texts {
                prop_assert_eq!(vocab.get(text), tokens.get(text).copied());
                let longest = text.char_indices().map(|(at, c)| at + c.len_utf8()).rev().find_map(|end| {
                    tokens.get(&format!("{head}{}", &text[..end])).map(|&id| (end, id))
                });
                prop_assert_eq!(vocab.longest_prefix(head.as_bytes(), text.as_bytes()), longest);
            }
            for (token, &id) in &tokens {
                prop_assert_eq!(tokens[vocab.token(id).unwrap()], id);
                prop_assert_eq!(vocab.get(token), Some(id));
            }
        }
    }
}
