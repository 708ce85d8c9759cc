//! f32 matrix products and attention: shapes taken apart for the kernels.

use super::elementwise::broadcast_strides;
use super::{operand, optional};
use crate::exec::Memory;
use crate::ir::{Activation, DType, Op};
use crate::plan::{MAX_RANK, Sizes, Step, View};
use crate::weights::halves;
use fourlane_kernels::attention::{self, Mask, Rows};
use fourlane_kernels::gemm::{self, Epilogue};
use fourlane_kernels::{gemm_half, gemm_heads, literal};

/// Working memory, in floats, of `MatMul`, `Gemm` (a packed second operand) and `Attention`.
pub(super) fn scratch_floats(op: &Op, step: &Step) -> usize {
    let (Some(a), Some(b)) = (step.input(0), step.input(1)) else { return 0 };
    match op {
        Op::Attention { heads, .. } => {
            step.input(2).map_or(0, |v| attention::scratch_len(&head_shape(*heads, 1.0, [a, b, v])))
        }
        Op::AttentionStacked { heads, .. } => match (step.input(2), step.input(4)) {
            (Some(v), Some(grid)) => {
                let (shape, longest) = (head_shape(*heads, 1.0, [a, b, v]), grid.shape[1]);
                attention::scratch_len(&attention::Shape { seq_q: longest, seq_k: longest, ..shape })
            }
            _ => 0,
        },
        Op::AttentionAbsorbed { heads, .. } => step.input(5).map_or(0, |grid| {
            let rows = a.shape[1].saturating_mul(*heads).saturating_mul(b.shape[2]);
            let shape = absorbed_shape(*heads, 1.0, &b.shape, grid.shape[1]);
            rows.saturating_mul(2).saturating_add(attention::scratch_len(&shape))
        }),
        Op::Gemm { trans_b: true, .. } => gemm::packed_len(b.shape[1], b.shape[0]),
        _ => {
            let (k, n) = matrix_of(&b.shape);
            gemm::packed_len(k, n)
        }
    }
}

/// Working memory, in floats, of `Linear` with a weight of halves.
pub(super) fn linear_scratch_floats(step: &Step) -> usize {
    match (step.input(0), step.input(1)) {
        (Some(x), Some(View { dtype: DType::F16 | DType::BF16, .. })) => {
            gemm_half::scratch_len(x.shape.last().copied().unwrap_or(0))
        }
        _ => 0,
    }
}

/// The last two axes; a vector is a column.
fn matrix_of(shape: &Sizes) -> (usize, usize) {
    match **shape {
        [] => (1, 1),
        [k] => (k, 1),
        [.., k, n] => (k, n),
    }
}

fn scratch<'m>(step: &Step, memory: &'m Memory) -> &'m mut [f32] {
    memory.write(&step.scratch)
}

/// How two stacks of matrices are multiplied: `m, n, k`, and which pairs.
pub(super) struct Stack {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    batch: Sizes,
    a_strides: [usize; MAX_RANK],
    b_strides: [usize; MAX_RANK],
}

impl Stack {
    pub fn new(a: &Sizes, b: &Sizes, out: &Sizes) -> Stack {
        let (k, n) = matrix_of(b);
        let m = if a.len() > 1 { a[a.len() - 2] } else { 1 };
        let lead = |shape: &Sizes| Sizes::new(&shape[..shape.len().saturating_sub(2)]).unwrap_or_default();
        // Where an operand is a vector, the output lacks its axis.
        let missing = usize::from(a.len() < 2) + usize::from(b.len() < 2);
        let batch = Sizes::new(&out[..(out.len() + missing).saturating_sub(2)]).unwrap_or_default();
        let (a_lead, b_lead) = (lead(a), lead(b));
        if b_lead.count() == 1 {
            // One second operand for all: the rows of the stack are one tall matrix.
            let rows = Sizes::default();
            return Stack {
                m: batch.count() * m,
                n,
                k,
                batch: rows,
                a_strides: [0; MAX_RANK],
                b_strides: [0; MAX_RANK],
            };
        }
        let (a_strides, b_strides) = (broadcast_strides(&a_lead, &batch), broadcast_strides(&b_lead, &batch));
        Stack { m, n, k, batch, a_strides, b_strides }
    }

    /// How many products there are.
    pub fn count(&self) -> usize {
        self.batch.count()
    }

    /// Which matrices of the two stacks product `i` is of.
    pub fn pair(&self, i: usize) -> (usize, usize) {
        let (mut rest, mut at_a, mut at_b) = (i, 0, 0);
        for axis in (0..self.batch.len()).rev() {
            let index = rest % self.batch[axis];
            rest /= self.batch[axis];
            at_a += index * self.a_strides[axis];
            at_b += index * self.b_strides[axis];
        }
        (at_a, at_b)
    }
}

pub(super) fn matmul(step: &Step, memory: &Memory) {
    let (a, b, out) = (operand(step, 0), operand(step, 1), &step.outputs[0]);
    let stack = Stack::new(&a.shape, &b.shape, &out.shape);
    let Stack { m, n, k, .. } = stack;
    let (x, y, result): (&[f32], &[f32], &mut [f32]) = (memory.read(a), memory.read(b), memory.write(out));
    let packed = scratch(step, memory);
    for i in 0..stack.count() {
        let (at_a, at_b) = stack.pair(i);
        gemm::pack_b(k, n, &y[at_b * k * n..][..k * n], n, 1, packed);
        let (x, result) = (&x[at_a * m * k..][..m * k], &mut result[i * m * n..][..m * n]);
        product(m, n, k, x, packed, result, &Epilogue::default(), literal::depth(k, n), memory);
    }
}

pub(super) fn gemm(alpha: f32, beta: f32, trans_b: bool, step: &Step, memory: &Memory) {
    let (a, b, out) = (operand(step, 0), operand(step, 1), &step.outputs[0]);
    let (m, k, n) = (a.shape[0], a.shape[1], out.shape[1]);
    let (row_stride, col_stride) = if trans_b { (1, k) } else { (n, 1) };
    let packed = scratch(step, memory);
    gemm::pack_b(k, n, memory.read(b), row_stride, col_stride, packed);
    let result: &mut [f32] = memory.write(out);
    let epilogue = Epilogue { alpha, ..Epilogue::default() };
    product(m, n, k, memory.read(a), packed, result, &epilogue, literal::depth(k, n), memory);
    if let Some(c) = step.input(2) {
        let (strides, c) = (broadcast_strides(&c.shape, &out.shape), memory.read::<f32>(c));
        for (i, x) in result.iter_mut().enumerate() {
            *x += beta * c[i / n * strides[0] + i % n * strides[1]];
        }
    }
}

pub(super) fn linear(activation: Activation, alpha: f32, step: &Step, memory: &Memory) {
    let (x, out) = (operand(step, 0), &step.outputs[0]);
    let (k, n) = (x.shape[x.shape.len() - 1], out.shape[out.shape.len() - 1]);
    let m = out.shape.count().checked_div(n).unwrap_or(0);
    let (bias, residual) = (optional(step, memory, 2), optional(step, memory, 3));
    let epilogue = Epilogue { alpha, bias, activation, residual, residual_stride: n, ..Epilogue::default() };
    let (a, weight, c) = (memory.read(x), operand(step, 1), memory.write(out));
    match weight.dtype {
        DType::F32 => product(m, n, k, a, memory.read(weight), c, &epilogue, literal::CONSTANT_DEPTH, memory),
        dtype => {
            let weight = halves(dtype, memory.read(weight));
            gemm_half::gemm(m, n, k, a, k, weight, c, n, &epilogue, scratch(step, memory));
        }
    }
}

/// `depth` counts only where the order of additions is that of onnxruntime.
fn product(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    packed_b: &[f32],
    c: &mut [f32],
    epilogue: &Epilogue,
    depth: usize,
    memory: &Memory,
) {
    match memory.literal {
        true => literal::gemm(m, n, k, a, k, packed_b, c, n, epilogue, depth),
        false => gemm::gemm(m, n, k, a, k, packed_b, c, n, epilogue),
    }
}

fn head_shape(heads: usize, scale: f32, [q, k, v]: [&View; 3]) -> attention::Shape {
    let (q, k, v) = (q.shape, k.shape, v.shape);
    attention::Shape { seq_q: q[1], seq_k: k[1], head_dim: q[2] / heads, v_dim: v[2] / heads, scale }
}

/// A mask that broadcasts to `[batch, heads, seq_q, seq_k]`.
struct Masks<'m> {
    data: &'m [f32],
    strides: [usize; MAX_RANK],
}

impl<'m> Masks<'m> {
    fn of(step: &Step, i: usize, scores: &Sizes, memory: &'m Memory) -> Option<Masks<'m>> {
        let view = step.input(i)?;
        Some(Masks { data: memory.read(view), strides: broadcast_strides(&view.shape, scores) })
    }

    fn at(&self, batch: usize, head: usize) -> Mask<'m> {
        let [of_batch, of_head, row_stride, key_stride, ..] = self.strides;
        let data = &self.data[batch * of_batch + head * of_head..];
        Mask { data, row_stride, one_each: key_stride == 0 }
    }
}

/// The kernel on one text: `first` are the rows at which its queries and its keys begin.
fn attend<'m>(
    shape: &attention::Shape,
    heads: usize,
    [q, k, v]: [&View; 3],
    [first_q, first_k]: [usize; 2],
    mask: &(dyn Fn(usize) -> Option<Mask<'m>> + Sync),
    out: (&View, &mut [f32]),
    memory: &Memory,
    scratch: &mut [f32],
) {
    let rows = |view: &View, first: usize| {
        let stride = view.shape[2];
        Rows { data: &memory.read::<f32>(view)[first * stride..], stride }
    };
    let (q, k, v) = (rows(q, first_q), rows(k, first_k), rows(v, first_k));
    let stride = out.0.shape[2];
    attention::heads(shape, heads, q, k, v, mask, &mut out.1[first_q * stride..], stride, scratch);
}

pub(super) fn attention(heads: usize, scale: f32, step: &Step, memory: &Memory) {
    let qkv @ [q, ..] = [operand(step, 0), operand(step, 1), operand(step, 2)];
    let out = &step.outputs[0];
    let shape = head_shape(heads, scale, qkv);
    let scores = Sizes::new(&[q.shape[0], heads, shape.seq_q, shape.seq_k]).unwrap_or_default();
    let mask = Masks::of(step, 3, &scores, memory);
    let scratch = scratch(step, memory);
    let result: &mut [f32] = memory.write(out);
    for batch in 0..q.shape[0] {
        let mask = |head| mask.as_ref().map(|mask| mask.at(batch, head));
        let first = [batch * shape.seq_q, batch * shape.seq_k];
        attend(&shape, heads, qkv, first, &mask, (out, result), memory, scratch);
    }
}

pub(super) fn attention_stacked(heads: usize, scale: f32, step: &Step, memory: &Memory) {
    let qkv = [operand(step, 0), operand(step, 1), operand(step, 2)];
    let out = &step.outputs[0];
    let lengths: &[i64] = memory.read(operand(step, 3));
    let shape = head_shape(heads, scale, qkv);
    let one_query_each = shape.seq_q != shape.seq_k;
    let grid = operand(step, 4).shape;
    let scores = Sizes::new(&[grid[0], heads, grid[1], grid[1]]).unwrap_or_default();
    let mask = Masks::of(step, 5, &scores, memory);
    let scratch = scratch(step, memory);
    let result: &mut [f32] = memory.write(out);
    let mut first = 0;
    for (text, &length) in lengths.iter().enumerate() {
        let length = length as usize;
        let (seq_q, first_q) = if one_query_each { (1, text) } else { (length, first) };
        let shape = attention::Shape { seq_q, seq_k: length, ..shape };
        let mask = |head| mask.as_ref().map(|mask| mask.at(text, head));
        attend(&shape, heads, qkv, [first_q, first], &mask, (out, result), memory, scratch);
        first += length;
    }
}

/// All heads are queries for the rows of x.
fn absorbed_shape(heads: usize, scale: f32, x: &Sizes, length: usize) -> attention::Shape {
    attention::Shape { seq_q: heads, seq_k: length, head_dim: x[2], v_dim: x[2], scale }
}

pub(super) fn attention_absorbed(heads: usize, scale: f32, step: &Step, memory: &Memory) {
    let (q, x) = (operand(step, 0), operand(step, 1));
    let (texts, dim, hidden) = (q.shape[1], q.shape[2] / heads, x.shape[2]);
    let (queries, scratch) = scratch(step, memory).split_at_mut(texts * heads * hidden);
    let (contexts, scratch) = scratch.split_at_mut(queries.len());
    gemm_heads::transposed(texts, heads, dim, hidden, memory.read(q), memory.read(operand(step, 2)), queries);
    let (mut first, data) = (0, memory.read::<f32>(x));
    for (text, &length) in memory.read::<i64>(operand(step, 4)).iter().enumerate() {
        let shape = absorbed_shape(heads, scale, &x.shape, length as usize);
        let at = text * heads * hidden;
        let q = Rows { data: &queries[at..], stride: hidden };
        let x = Rows { data: &data[first * hidden..], stride: hidden };
        attention::heads(&shape, 1, q, x, x, &|_| None, &mut contexts[at..], hidden, scratch);
        first += length as usize;
    }
    let (v_weight, bias) = (memory.read(operand(step, 3)), optional(step, memory, 6));
    gemm_heads::gemm(texts, heads, dim, hidden, contexts, v_weight, bias, memory.write(&step.outputs[0]));
}
