//! What a mask says of a batch: how many tokens each text has, and where they are. See [`crate::passes::stack`].

use crate::passes::stack::Feed;
use crate::tensor::Data;

/// The flags of a batch `[texts, seq]`; without any, every place is a token.
#[derive(Clone, Copy)]
pub(crate) struct Padding<'a> {
    pub flags: Option<Data<'a>>,
    pub texts: usize,
    pub seq: usize,
}

impl Padding<'_> {
    /// How many tokens there are in all. `None` unless each text is some ones, then zeros.
    pub fn tokens(&self) -> Option<usize> {
        (0..self.texts).try_fold(0, |sum, text| {
            let length = self.length(text);
            let rest = length..self.seq;
            (length > 0 && rest.into_iter().all(|i| self.flag(text * self.seq + i) == Some(false)))
                .then_some(sum + length)
        })
    }

    /// The ones before the first zero.
    fn length(&self, text: usize) -> usize {
        (0..self.seq).position(|i| self.flag(text * self.seq + i) != Some(true)).unwrap_or(self.seq)
    }

    /// `None` for what is neither 0 nor 1: what a model makes of that is its own business.
    fn flag(&self, i: usize) -> Option<bool> {
        fn of<T: PartialEq + From<u8>>(x: T) -> Option<bool> {
            if x == T::from(0) { Some(false) } else { (x == T::from(1)).then_some(true) }
        }
        match self.flags {
            None => Some(true),
            Some(Data::I64(d)) => of(d[i]),
            Some(Data::I32(d)) => of(d[i]),
            Some(Data::F32(d)) => of(d[i]),
            Some(Data::Bool(d)) => of(d[i]),
            Some(Data::U8(_) | Data::I8(_)) => None,
        }
    }

    /// Writes an input of the stacked model.
    pub fn fill(&self, feed: Feed, out: &mut [i64]) {
        let mut out = out.iter_mut();
        let mut put = |value: usize| {
            if let Some(slot) = out.next() {
                *slot = value as i64;
            }
        };
        let mut first = 0;
        for text in 0..self.texts {
            let length = self.length(text);
            match feed {
                Feed::Places => (0..length).for_each(|i| put(text * self.seq + i)),
                Feed::Positions => (0..length).for_each(&mut put),
                Feed::Firsts => put(first),
                Feed::Lengths => put(length),
            }
            first += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padding(flags: &[i64], texts: usize) -> Padding<'_> {
        Padding { flags: Some(Data::I64(flags)), texts, seq: flags.len() / texts }
    }

    #[test]
    fn only_ends_of_rows_are_padding() {
        assert_eq!(padding(&[1, 1, 0, 1, 0, 0], 2).tokens(), Some(3));
        assert_eq!(padding(&[1, 1, 1, 1], 2).tokens(), Some(4));
        assert_eq!(Padding { flags: None, texts: 2, seq: 3 }.tokens(), Some(6));
        for flags in [[0, 1, 1, 1], [1, 0, 0, 0], [1, 2, 1, 1], [0, 0, 1, 1]] {
            assert_eq!(padding(&flags, 2).tokens(), None, "{flags:?}");
        }
    }

    #[test]
    fn where_tokens_are() {
        let flags = [1, 1, 0, 1, 0, 0, 1, 1, 1];
        let fill = |feed, len| {
            let mut out = vec![-1; len];
            padding(&flags, 3).fill(feed, &mut out);
            out
        };
        assert_eq!(fill(Feed::Places, 6), [0, 1, 3, 6, 7, 8]);
        assert_eq!(fill(Feed::Positions, 6), [0, 1, 0, 0, 1, 2]);
        assert_eq!(fill(Feed::Firsts, 3), [0, 2, 3]);
        assert_eq!(fill(Feed::Lengths, 3), [2, 1, 3]);
    }
}
