//! `RotaryEmbedding` (opset 23): positions as rotations of pairs of elements, in pieces.

use super::{Outputs, one};
use crate::builder::Builder;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, Op};

/// With `x1, x2` the halves of a head: `x1 cos - x2 sin` and `x1 sin + x2 cos`.
///
/// x is `[batch, heads, seq, dim]`, or `[batch, seq, heads * dim]` with the number of heads in an attribute. Cosines and
/// sines are `[batch, seq, dim / 2]`, or rows of a table that positions `[batch, seq]` pick from.
pub(super) fn standard(n: &mut NodeReader, b: &mut Builder<'_>) -> Outputs {
    n.only("interleaved", 0)?;
    n.only("rotary_embedding_dim", 0)?;
    let heads = n.int_or("num_heads", 0)?;
    let (x, angles, positions) = (n.input(0)?, [n.input(1)?, n.input(2)?], n.optional(3));
    let rows_only = b.rank(x)? == 3;
    let heads_axis = if rows_only { 2 } else { 1 };
    if rows_only && heads <= 0 {
        return Err("without a number of heads".into());
    }
    let reshape = || Op::Reshape { allow_zero: false };
    let split = match rows_only {
        true => {
            let shape = b.ints(&[0, 0, heads, -1]);
            b.emit(reshape(), &[x, shape])
        }
        false => x,
    };
    let [cos, sin] = angles.map(|table| {
        let rows = positions.map_or(table, |positions| b.emit(Op::Gather { axis: 0 }, &[table, positions]));
        b.unsqueeze(rows, &[heads_axis])
    });
    let facts = [b.fact(split); 2];
    let [Some(x1), Some(x2)] = b.emit_outputs(Op::Split { axis: -1 }, vec![Some(split)], &facts)[..] else {
        return Err("without halves".into());
    };
    let mut turned = |op, [x, y]: [_; 2], [u, v]: [_; 2]| {
        let (x, y) = (b.binary(Binary::Mul, x, u), b.binary(Binary::Mul, y, v));
        b.binary(op, x, y)
    };
    let halves = [turned(Binary::Sub, [x1, x2], [cos, sin]), turned(Binary::Add, [x1, x2], [sin, cos])];
    let y = b.emit(Op::Concat { axis: -1 }, &halves);
    if !rows_only {
        return one(y);
    }
    let shape = b.ints(&[0, 0, -1]);
    one(b.emit(reshape(), &[y, shape]))
}
