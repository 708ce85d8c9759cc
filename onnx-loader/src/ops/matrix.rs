//! Matrix products, normalisations and reductions.

use super::{layout, plain};
use crate::builder::Builder;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Moments, Op, Reduce, ValueId};

pub(super) fn gemm(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let op = Op::Gemm {
        alpha: n.float_or("alpha", 1.0),
        beta: n.float_or("beta", 1.0),
        trans_a: n.flag("transA", false),
        trans_b: n.flag("transB", false),
    };
    plain(op, 2, 1, n, b)
}

/// The outputs for mean and deviation, of use in training, do not exist.
pub(super) fn layer_norm(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.ignore(&["stash_type"]);
    let (axis, epsilon) = (n.int_or("axis", -1), n.float_or("epsilon", 1e-5));
    plain(Op::LayerNorm { axis, epsilon, moments: Moments::Wide }, 1, 2, n, b)
}

pub(super) fn softmax(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let axis = n.int_or("axis", if n.opset < 13 { 1 } else { -1 });
    let x = n.input(0);
    Some(softmax_of(b, x, axis, n.opset))
}

/// Before opset 13 the tensor counted as a matrix, split before the axis, whose rows were normalised. For the last
/// axis, which is nearly every model, it is the same.
pub(super) fn softmax_of(b: &mut Builder<'_>, x: ValueId, axis: i64, opset: i64) -> ValueId {
    let last = axis == -1 || b.fact(x).rank.is_some_and(|rank| rank as i64 - 1 == axis);
    b.emit(Op::Softmax { axis, coerced: opset < 13 && !last }, &[x])
}

pub(super) fn reduce(op: Reduce, n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let op = Op::Reduce {
        op,
        keep_dims: n.flag("keepdims", true),
        noop_with_empty_axes: n.flag("noop_with_empty_axes", false),
    };
    let axes = layout::axes(n, b, 1);
    Some(b.emit_optional(op, &[Some(n.input(0)), axes]))
}
