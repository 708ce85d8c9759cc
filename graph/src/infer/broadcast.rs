//! NumPy broadcasting of shapes that may be symbolic.

use crate::dim::{Dim, Symbol};

/// The common dimension of two that broadcast, and a limit on a symbol that this implies.
fn broadcast_dim(a: &Dim, b: &Dim) -> Option<(Dim, Option<(Symbol, usize)>)> {
    let sure = |d: &Dim| Some((d.clone(), None));
    match (a, b) {
        _ if a == b => sure(a),
        (Dim::Const(1), other) | (other, Dim::Const(1)) => sure(other),
        (Dim::Const(_), Dim::Const(_)) => None,
        // A symbol that meets a number is that number (or 1).
        (Dim::Const(_), _) => sure(a),
        (_, Dim::Const(_)) => sure(b),
        _ => {
            // `table[:seq] + x` with x of length seq: the slice is as long as asked for, or the input is too long.
            for (clipped, whole) in [(a, b), (b, a)] {
                if let Some((Dim::Const(rows), other)) =
                    clipped.as_min().map(|(x, y)| if x.known().is_some() { (x, y) } else { (y, x) })
                    && other == whole
                {
                    let limit = whole.as_symbol().map(|s| (s, usize::try_from(*rows).unwrap_or(0)));
                    return Some((whole.clone(), limit));
                }
            }
            // Two symbols: they are equal, or the concrete run will say that they are not.
            sure(a)
        }
    }
}

/// Shape of an element-wise operation.
pub fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    broadcast_with_limits(a, b, &mut |_| ())
}

pub(super) fn broadcast_with_limits(a: &[Dim], b: &[Dim], limit: &mut dyn FnMut((Symbol, usize))) -> Option<Vec<Dim>> {
    let rank = a.len().max(b.len());
    const ONE: &Dim = &Dim::Const(1);
    fn at(shape: &[Dim], rank: usize, i: usize) -> &Dim {
        (i + shape.len()).checked_sub(rank).map_or(ONE, |j| &shape[j])
    }
    let mut shape = Vec::with_capacity(rank);
    for i in 0..rank {
        let (dim, implied) = broadcast_dim(at(a, rank, i), at(b, rank, i))?;
        if let Some(implied) = implied {
            limit(implied);
        }
        shape.push(dim);
    }
    Some(shape)
}
