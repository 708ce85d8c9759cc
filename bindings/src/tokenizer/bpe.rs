//! Byte pair encoding: a word starts as its characters, and of all neighbours that merge the ones learned first do.
//!
//! All pairs that merge wait in a heap, the earliest learned and leftmost on top, so a word of a million characters takes
//! a million times the depth of the heap. Symbols are a linked list; a pair in the heap that is no longer there is passed
//! over when it comes up.

use super::vocab::Vocab;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The model.
#[derive(Default)]
pub(crate) struct Bpe {
    pub vocab: Vocab,
    pub merges: Merges,
    /// Stands for a character that is not known; if there is none, such characters are left out.
    pub unk: Option<u32>,
    /// Of unknown characters in a row only one is kept.
    pub fuse_unk: bool,
    /// Ids that stand for the bytes of unknown characters.
    pub bytes: Option<Box<[Option<u32>; 256]>>,
    /// What stands before a piece that continues a word, and after one that ends it, in the vocabulary.
    pub prefix: String,
    pub suffix: String,
    /// A word that is a piece is not put together.
    pub ignore_merges: bool,
}

/// Pairs of ids that merge, in the order in which they were learned.
#[derive(Default)]
pub(crate) struct Merges {
    /// The pair, and what it becomes.
    pairs: Vec<(u32, u32, u32)>,
    /// Place of a pair plus one, at the first free place from where its hash points; 0 is free. A power of two long.
    slots: Vec<u32>,
}

impl Merges {
    /// Adds a pair. One that is there takes the new place in the order.
    pub fn push(&mut self, left: u32, right: u32, merged: u32) {
        self.pairs.push((left, right, merged));
        if self.slots.len() < 2 * self.pairs.len() {
            self.slots = vec![0; (4 * self.pairs.len()).next_power_of_two().max(16)];
            for rank in 0..self.pairs.len() {
                self.enter(rank);
            }
        } else {
            self.enter(self.pairs.len() - 1);
        }
    }

    fn enter(&mut self, rank: usize) {
        let (left, right, _) = self.pairs[rank];
        let slot = self.slot(left, right);
        self.slots[slot] = rank as u32 + 1;
    }

    /// Where a pair is, or would be.
    fn slot(&self, left: u32, right: u32) -> usize {
        let mask = self.slots.len() - 1;
        let hash = (u64::from(left) << 32 | u64::from(right)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut slot = (hash >> 32) as usize & mask;
        while let Some(rank) = (self.slots[slot] as usize).checked_sub(1) {
            let pair = self.pairs[rank];
            if (pair.0, pair.1) == (left, right) {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// The place of a pair in the order, and what it becomes.
    fn get(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        if self.slots.is_empty() {
            return None;
        }
        let rank = self.slots[self.slot(left, right)].checked_sub(1)?;
        Some((rank, self.pairs[rank as usize].2))
    }
}

/// A part of a word.
struct Symbol {
    id: u32,
    previous: u32,
    next: u32,
}

/// No symbol there.
const NONE: u32 = u32::MAX;
/// As the symbol before: this one has been merged into that.
const GONE: u32 = u32::MAX - 1;

impl Bpe {
    /// Appends the ids of a word.
    pub fn encode(&self, word: &str, ids: &mut Vec<i64>) {
        if self.ignore_merges
            && let Some(id) = self.vocab.get(word)
        {
            return ids.push(i64::from(id));
        }
        let mut symbols = self.symbols(word);
        self.merge(&mut symbols);
        let kept = symbols.iter().filter(|symbol| symbol.previous != GONE);
        ids.extend(kept.map(|symbol| i64::from(symbol.id)));
    }

    fn symbols(&self, word: &str) -> Vec<Symbol> {
        let mut symbols = Vec::with_capacity(word.len());
        let mut push = |id: u32| {
            let place = symbols.len() as u32;
            symbols.push(Symbol { id, previous: place.checked_sub(1).unwrap_or(NONE), next: place + 1 });
        };
        let mut unknown = false;
        let mut affixed = String::new();
        for (at, c) in word.char_indices() {
            let end = at + c.len_utf8();
            let mut part = word.get(at..end).unwrap_or_default();
            let prefix = if at > 0 { &self.prefix[..] } else { "" };
            let suffix = if end == word.len() { &self.suffix[..] } else { "" };
            if !prefix.is_empty() || !suffix.is_empty() {
                affixed.clear();
                affixed.push_str(prefix);
                affixed.push_str(part);
                affixed.push_str(suffix);
                part = &affixed;
            }
            if let Some(id) = self.vocab.get(part) {
                if unknown {
                    self.unk.into_iter().for_each(&mut push);
                    unknown = false;
                }
                push(id);
                continue;
            }
            // An unknown character before waits on, as it does in the reference.
            let id = |byte: u8| self.bytes.as_ref().and_then(|ids| ids[usize::from(byte)]);
            if self.bytes.is_some() && part.bytes().all(|byte| id(byte).is_some()) {
                part.bytes().filter_map(id).for_each(&mut push);
                continue;
            }
            if unknown && !self.fuse_unk {
                self.unk.into_iter().for_each(&mut push);
            }
            unknown = self.unk.is_some();
        }
        if unknown {
            self.unk.into_iter().for_each(&mut push);
        }
        if let Some(last) = symbols.last_mut() {
            last.next = NONE;
        }
        symbols
    }

    fn merge(&self, symbols: &mut [Symbol]) {
        let entry = |symbols: &[Symbol], place: u32| {
            let symbol = symbols.get(place as usize)?;
            let (rank, _) = self.merges.get(symbol.id, symbols.get(symbol.next as usize)?.id)?;
            Some(Reverse(u64::from(rank) << 32 | u64::from(place)))
        };
        let mut heap: BinaryHeap<Reverse<u64>> =
            (0..symbols.len() as u32).filter_map(|place| entry(symbols, place)).collect();
        while let Some(Reverse(top)) = heap.pop() {
            let (rank, place) = ((top >> 32) as usize, top as u32);
            let Some(&Symbol { id, previous, next }) = symbols.get(place as usize) else { continue };
            let Some(&Symbol { id: right, next: after, .. }) = symbols.get(next as usize) else { continue };
            let merged = self.merges.pairs.get(rank).map(|pair| pair.2);
            // What is there now may be another pair, which counts if it becomes the same.
            if previous == GONE || self.merges.get(id, right).map(|found| found.1) != merged {
                continue;
            }
            symbols[place as usize] = Symbol { id: merged.unwrap_or(id), previous, next: after };
            symbols[next as usize].previous = GONE;
            if let Some(after) = symbols.get_mut(after as usize) {
                after.previous = place;
            }
            heap.extend([previous, place].into_iter().filter_map(|place| entry(symbols, place)));
        }
    }
}
