//! The four attention operators, as `Op::Attention`.
//!
//! They differ in where q, k and v come from (given, projected by one packed weight, or that quantised) and in how a
//! mask is written: as the number of tokens per row, as a flag per token, as a full matrix of flags, as numbers to
//! add, as "causal". Each ends as one additive f32 mask that broadcasts to `[batch, heads, seq_q, seq_k]`.

use super::{layout, quantized};
use crate::builder::Builder;
use crate::reader::NodeReader;
use fourlane_graph::ir::{Binary, DType, Op, ValueId};

/// ONNX `Attention` (opset 23): q, k and v as `[batch, heads, seq, dim]`, or as `[batch, seq, heads * dim]` with the
/// number of heads in attributes.
pub(super) fn standard(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    n.ignore(&["qk_matmul_output_mode", "softmax_precision"]);
    if n.float_or("softcap", 0.0) != 0.0 {
        return n.reject("with softcap");
    }
    let (causal, scale) = (n.flag("is_causal", false), n.float("scale"));
    let heads = n.int("q_num_heads");
    if n.int("kv_num_heads") != heads {
        return n.reject("with other numbers of heads for keys than for queries");
    }
    let (q, k, v, mask) = (n.input(0), n.input(1), n.input(2), n.optional(3));

    let seq_axis = if heads.is_some() { 1 } else { 2 };
    let causal = causal.then(|| causal_flags(b, q, k, seq_axis));
    let mask = match mask {
        Some(mask) if n.dtype(b, mask)? != DType::Bool => match causal {
            Some(flags) => Some(select(b, flags, Some(mask), f32::NEG_INFINITY)),
            None => Some(mask),
        },
        flags => {
            let flags = match (flags, causal) {
                (Some(flags), Some(causal)) => Some(b.binary(Binary::And, flags, causal)),
                (flags, causal) => flags.or(causal),
            };
            flags.map(|flags| select(b, flags, None, f32::NEG_INFINITY))
        }
    };
    Some(match heads {
        Some(heads) => attend(b, [q, k, v], mask, head_count(n, heads)?, scale),
        None => b.emit_optional(Op::AttentionHeads { scale }, &[Some(q), Some(k), Some(v), mask]),
    })
}

/// onnxruntime's `Attention`: one packed weight projects the input to q, k and v.
pub(super) fn packed(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let (x, weight, bias) = (n.input(0), n.input(1), n.optional(2));
    let form = Masking { flags: n.optional(3), bias: n.optional(5) };
    let mut projected = b.emit(Op::MatMul, &[x, weight]);
    if let Some(bias) = bias {
        projected = b.binary(Binary::Add, projected, bias);
    }
    split_and_attend(n, b, projected, weight, form)
}

/// onnxruntime's `QAttention`: the same of integers.
pub(super) fn quantized(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let (x, weight, bias) = (n.input(0), n.input(1), n.optional(2));
    let (x_scale, weight_scale) = (n.input(3), n.input(4));
    let form = Masking { flags: n.optional(5), bias: None };
    let (x_zero, weight_zero) = (n.optional(6), n.optional(7));
    let product = quantized::product(b, [Some(x), Some(weight), x_zero, weight_zero], [x_scale, weight_scale], bias);
    split_and_attend(n, b, product, weight, form)
}

/// onnxruntime's `MultiHeadAttention`: q, k and v as `[batch, seq, heads * dim]`, their biases packed in one vector.
pub(super) fn multi_head(n: &mut NodeReader<'_>, b: &mut Builder<'_>) -> Option<ValueId> {
    let (q, k, v) = (n.input(0), n.input(1), n.input(2));
    let mut qkv = [q, k, v];
    let mut hidden = None;
    if let Some(bias) = n.optional(3) {
        hidden = b.tensor(bias).and_then(|bias| bias.shape.last()).map(|size| size / 3);
        for (x, part) in qkv.iter_mut().zip(b.split(0, bias, None, 3)) {
            *x = b.binary(Binary::Add, *x, part);
        }
    }
    let form = Masking { flags: n.optional(4), bias: n.optional(5) };
    scaled_attention(n, b, qkv, hidden, form)
}

/// Cuts a packed projection in three and attends.
fn split_and_attend(
    n: &mut NodeReader<'_>,
    b: &mut Builder<'_>,
    projected: ValueId,
    weight: ValueId,
    masking: Masking,
) -> Option<ValueId> {
    for name in ["past_present_share_buffer", "do_rotary", "rotary_embedding_dim"] {
        n.only(name, 0);
    }
    let width = b.tensor(weight).and_then(|weight| weight.shape.last()).copied();
    let mut sizes = None;
    let hidden = match n.ints("qkv_hidden_sizes") {
        Some(given) => {
            sizes = Some(b.ints(&given));
            given.first().and_then(|&size| usize::try_from(size).ok())
        }
        None => width.map(|width| width / 3),
    };
    let qkv = b.split(-1, projected, sizes, 3);
    scaled_attention(n, b, qkv.try_into().ok()?, hidden, masking)
}

/// How onnxruntime's operators say what may be attended to.
struct Masking {
    /// Zero where not to look.
    flags: Option<ValueId>,
    /// Added to the scores.
    bias: Option<ValueId>,
}

/// What onnxruntime's three operators have in common. `hidden` is heads times dimension of q, if known.
fn scaled_attention(
    n: &mut NodeReader<'_>,
    b: &mut Builder<'_>,
    [q, k, v]: [ValueId; 3],
    hidden: Option<usize>,
    masking: Masking,
) -> Option<ValueId> {
    let heads = n.int_or("num_heads", 0);
    let heads = head_count(n, heads)?;
    let filter = n.float_or("mask_filter_value", -10000.0);
    // Zero stands for "not given".
    let scale = n.float("scale").filter(|&scale| scale != 0.0);
    let scale = scale.or(hidden.map(|hidden| 1.0 / ((hidden / heads) as f32).sqrt()));

    let mut mask = match masking.flags {
        Some(flags) => {
            let flags = token_flags(n, b, flags, k)?;
            Some(select(b, flags, None, filter))
        }
        None => None,
    };
    if let Some(bias) = masking.bias {
        mask = Some(mask.map_or(bias, |mask| b.binary(Binary::Add, mask, bias)));
    }
    if n.flag("unidirectional", false) {
        let flags = causal_flags(b, q, k, 1);
        mask = Some(select(b, flags, mask, f32::MIN));
    }
    Some(attend(b, [q, k, v], mask, heads, scale))
}

fn head_count(n: &mut NodeReader<'_>, heads: i64) -> Option<usize> {
    match usize::try_from(heads) {
        Ok(heads) if heads > 0 => Some(heads),
        _ => n.reject("without a number of heads"),
    }
}

/// Attention of `[batch, seq, heads * dim]`. Without a scale it must come from the dimension, which is not known yet
/// here: then heads get an axis of their own, and the operator for that form finds out.
fn attend(b: &mut Builder<'_>, qkv: [ValueId; 3], mask: Option<ValueId>, heads: usize, scale: Option<f32>) -> ValueId {
    if let Some(scale) = scale {
        let [q, k, v] = qkv;
        return b.emit_optional(Op::Attention { heads, scale }, &[Some(q), Some(k), Some(v), mask]);
    }
    let swap = |b: &mut Builder<'_>, x| b.emit(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[x]);
    let apart = b.ints(&[0, 0, i64::try_from(heads).unwrap_or(i64::MAX), -1]);
    let together = b.ints(&[0, 0, -1]);
    let mut inputs = [None, None, None, mask];
    for (input, x) in inputs.iter_mut().zip(qkv) {
        let x = b.reshape(x, apart);
        *input = Some(swap(b, x));
    }
    let y = b.emit_optional(Op::AttentionHeads { scale }, &inputs);
    let y = swap(b, y);
    b.reshape(y, together)
}

/// Flags that broadcast to `[batch, heads, seq_q, seq_k]`, from one of the forms that onnxruntime knows: tokens per row
/// `[batch]`, flags `[batch, seq_k]` or `[batch, seq_q, seq_k]`.
fn token_flags(n: &mut NodeReader<'_>, b: &mut Builder<'_>, mask: ValueId, keys: ValueId) -> Option<ValueId> {
    match n.rank(b, mask)? {
        1 => {
            let lengths = b.cast(mask, DType::I64);
            let lengths = b.unsqueeze(lengths, &[1]);
            let positions = layout::counter(b, keys, 1);
            let flags = b.binary(Binary::Less, positions, lengths);
            Some(b.unsqueeze(flags, &[1, 2]))
        }
        rank @ (2 | 3) => {
            let flags = b.cast(mask, DType::Bool);
            Some(b.unsqueeze(flags, if rank == 2 { &[1, 2] } else { &[1] }))
        }
        rank => n.reject_for(format!("with a mask of rank {rank}")),
    }
}

/// `[seq_q, seq_k]`, true where the key is not after the query.
fn causal_flags(b: &mut Builder<'_>, q: ValueId, k: ValueId, seq_axis: i64) -> ValueId {
    let rows = layout::counter(b, q, seq_axis);
    let rows = b.unsqueeze(rows, &[1]);
    let columns = layout::counter(b, k, seq_axis);
    b.binary(Binary::GreaterOrEqual, rows, columns)
}

/// `mask` (or 0) where a flag is set, else `filter`.
fn select(b: &mut Builder<'_>, flags: ValueId, mask: Option<ValueId>, filter: f32) -> ValueId {
    let keep = mask.unwrap_or_else(|| b.scalar(0.0));
    let filter = b.scalar(filter);
    b.emit(Op::Where, &[flags, keep, filter])
}
