//! Unigram: of all ways to put a word together from pieces, the one of the greatest sum of scores (Viterbi's algorithm).

use super::vocab::Vocab;

/// The model.
#[derive(Default)]
pub(crate) struct Unigram {
    pub vocab: Vocab,
    /// By id: natural logarithms of frequencies, or anything.
    pub scores: Vec<f64>,
    /// Stands for what cannot be put together.
    pub unk: u32,
    /// Ids that stand for the bytes of what cannot be put together.
    pub bytes: Option<Box<[Option<u32>; 256]>>,
    /// Of a character that is no piece.
    pub unk_score: f64,
}

/// An unknown character is less likely than the least likely piece by e to the power of this.
pub(crate) const UNK_PENALTY: f64 = 10.0;

/// The best way to a place in the word: over which piece it comes there.
#[derive(Clone, Copy)]
struct Node {
    score: f64,
    start: u32,
    id: u32,
}

/// As the start: no way leads here yet.
const NONE: u32 = u32::MAX;

impl Unigram {
    /// Appends the ids of a word.
    pub fn encode(&self, word: &str, ids: &mut Vec<i64>) {
        let mut nodes = vec![Node { score: 0.0, start: NONE, id: 0 }; word.len() + 1];
        for (at, c) in word.char_indices() {
            let score = nodes[at].score;
            let mut arrive = |length: usize, id: u32, score: f64| {
                let node = &mut nodes[at + length];
                if node.start == NONE || score > node.score {
                    *node = Node { score, start: at as u32, id };
                }
            };
            let mut known = false;
            let rest = word.as_bytes().get(at..).unwrap_or_default();
            self.vocab.prefixes(b"", rest, |length, id| {
                known |= length == c.len_utf8();
                let own = self.scores.get(id as usize).copied().unwrap_or_default();
                arrive(length, id, own + score);
            });
            if !known {
                arrive(c.len_utf8(), self.unk, self.unk_score + score);
            }
        }

        // Back from the end; unknown pieces in a row are one.
        let before = ids.len();
        let mut end = word.len();
        while end > 0 {
            let Node { mut start, id, .. } = nodes[end];
            if id == self.unk {
                while start > 0 && nodes[start as usize].id == self.unk {
                    start = nodes[start as usize].start;
                }
                self.unknown(word.get(start as usize..end).unwrap_or_default(), ids);
            } else {
                ids.push(i64::from(id));
            }
            end = start as usize;
        }
        if let Some(ids) = ids.get_mut(before..) {
            ids.reverse();
        }
    }

    /// Appends what stands for unknown text, the last first.
    fn unknown(&self, text: &str, ids: &mut Vec<i64>) {
        let id = |byte: u8| self.bytes.as_ref().and_then(|ids| ids[usize::from(byte)]);
        if let Some(id) = self.vocab.get(text) {
            ids.push(i64::from(id));
        } else if self.bytes.is_some() && text.bytes().all(|byte| id(byte).is_some()) {
            ids.extend(text.bytes().rev().filter_map(id).map(i64::from));
        } else {
            ids.push(i64::from(self.unk));
        }
    }
}
