//! Canonical decompositions, from a table.

use super::tables::{rows, signed};

/// Character and a character that remains of its decomposition, as often as several remain. Ascending.
pub(super) struct Decompositions(Vec<(u32, u32)>);

impl Decompositions {
    pub fn new() -> Self {
        let (mut from, mut to) = (0, 0);
        let mut decompositions = Vec::new();
        for [gap, difference] in rows(include_bytes!("decompositions.bin")) {
            from += gap;
            to += signed(difference);
            decompositions.push((from, to as u32));
        }
        Decompositions(decompositions)
    }

    /// Calls `f` with what remains of the decomposition of `c` without nonspacing marks; with `c` if that is nothing.
    pub fn each(&self, c: char, f: &mut dyn FnMut(char)) {
        let code = u32::from(c);
        let first = self.0.partition_point(|&(from, _)| from < code);
        let remaining = self.0.get(first..).unwrap_or_default().iter();
        let mut remaining = remaining.take_while(|&&(from, _)| from == code).peekable();
        if remaining.peek().is_none() {
            return f(c);
        }
        remaining.filter_map(|&(_, to)| char::from_u32(to)).for_each(f);
    }
}
