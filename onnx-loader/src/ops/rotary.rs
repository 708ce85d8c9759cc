//! `RotaryEmbedding` (opset 23): positions as rotations of pairs of elements, in pieces.

use crate::builder::Builder;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, Op, ValueId};

/// With `x1, x2` the halves of a head: `x1 cos - x2 sin` and `x1 sin + x2 cos`.
///
/// x is `[batch, heads, seq, dim]`, or `[batch, seq, heads * dim]` with the number of heads in an attribute. Cosines and
/// sines are `[batch, seq, dim / 2]`, or rows of a table that positions `[batch, seq]` pick from.
pub(super) fn standard(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.only("interleaved", 0);
    n.only("rotary_embedding_dim", 0);
    let heads = n.int_or("num_heads", 0);
    let (mut x, cos, sin, positions) = (n.input(0), n.input(1), n.input(2), n.optional(3));
    let rows_only = n.rank(b, x)? == 3;
    let heads_axis = if rows_only { 2 } else { 1 };
    if rows_only && heads <= 0 {
        return n.reject("without a number of heads");
    }
    if rows_only {
        let shape = b.ints(&[0, 0, heads, -1]);
        x = b.reshape(x, shape);
    }
    let rows = |b: &mut Builder<'_>, table| {
        let rows = positions.map_or(table, |positions| b.emit(Op::Gather { axis: 0 }, &[table, positions]));
        b.unsqueeze(rows, &[heads_axis])
    };
    let (cos, sin) = (rows(b, cos), rows(b, sin));
    let [x1, x2] = b.split(-1, x, None, 2).try_into().ok()?;
    let turned = |b: &mut Builder<'_>, op, u, v| {
        let (x, y) = (b.binary(Binary::Mul, x1, u), b.binary(Binary::Mul, x2, v));
        b.binary(op, x, y)
    };
    let halves = [turned(b, Binary::Sub, cos, sin), turned(b, Binary::Add, sin, cos)];
    let mut y = b.emit(Op::Concat { axis: -1 }, &halves);
    if rows_only {
        let shape = b.ints(&[0, 0, -1]);
        y = b.reshape(y, shape);
    }
    Some(y)
}
