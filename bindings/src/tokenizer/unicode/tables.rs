//! How tables of characters are stored, and looked up.

/// A property of every character, as the runs of code points that share a value.
pub(crate) struct Runs(Vec<u32>);

/// Bits of a value; a code point takes 21 more.
const VALUE_BITS: u32 = 10;

impl Runs {
    /// From rows of (distance to the start of the run before, value).
    pub fn new(bytes: &[u8]) -> Self {
        let mut start = 0;
        let mut runs = Vec::new();
        for [gap, value] in rows(bytes) {
            start += gap;
            runs.push(start << VALUE_BITS | value);
        }
        Runs(runs)
    }

    /// The value of a character; 0 for those before the first run.
    pub fn get(&self, c: char) -> u32 {
        let c = u32::from(c);
        let after = self.0.partition_point(|&run| run >> VALUE_BITS <= c);
        let run = after.checked_sub(1).and_then(|run| self.0.get(run));
        run.map_or(0, |&run| run & ((1 << VALUE_BITS) - 1))
    }
}

/// A table of `N` columns. It is stored column by column, which compresses better than by rows, as numbers of seven bits
/// a byte, low ones first; the high bit says that more follow.
pub(crate) fn rows<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u32; N]> {
    let mut numbers = Vec::new();
    let (mut number, mut shift) = (0, 0);
    for &byte in bytes {
        number |= u32::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            numbers.push(number);
            (number, shift) = (0, 0);
        }
    }
    let count = numbers.len() / N;
    (0..count).map(move |row| std::array::from_fn(|column| numbers[column * count + row]))
}

/// Even numbers are 0, 1, 2..., odd ones -1, -2...
pub(crate) fn signed(number: u32) -> i32 {
    (number >> 1) as i32 ^ -((number & 1) as i32)
}
