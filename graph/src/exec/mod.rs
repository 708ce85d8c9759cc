//! The interpreter of a plan: one step, one kernel.
//!
//! Nothing here allocates. `check` runs when a plan is made and refuses what `run` could not do, so that `run` fails
//! only for what the data says (an index outside a table).

mod elementwise;
mod matrix;
mod memory;
mod movement;
mod quantized;
#[cfg(test)]
mod tests;

use crate::error::{Error, Failure};
use crate::ir::{DType, Node, Op, Reduce, Unary};
use crate::plan::Step;
use crate::tensor::Data;
use fourlane_kernels::gemm_blocks::Code;
use fourlane_kernels::{gemm_blocks, layer_norm, literal, reduce, softmax};
pub(crate) use memory::Memory;

/// Working memory of a step.
pub(crate) fn scratch_bytes(node: &Node, step: &Step) -> usize {
    match &node.op {
        Op::MatMul
        | Op::Gemm { .. }
        | Op::Attention { .. }
        | Op::AttentionStacked { .. }
        | Op::AttentionAbsorbed { .. } => matrix::scratch_floats(&node.op, step).saturating_mul(4),
        Op::MatMulInteger => quantized::scratch_bytes(step),
        Op::LinearBlocks { k, .. } => gemm_blocks::scratch_len(*k).saturating_mul(4),
        Op::Linear { .. } => matrix::linear_scratch_floats(step).saturating_mul(4),
        Op::LinearInt8 { .. } => quantized::linear_scratch_bytes(step),
        // Row gathering reads i64.
        Op::Gather { .. } => step.input(1).filter(|v| v.dtype == DType::I32).map_or(0, |v| v.shape.count() * 8),
        _ => 0,
    }
}

/// Whether `run` can do this step.
pub(crate) fn check(node: &Node, step: &Step) -> Result<(), Failure> {
    let dtype = |i: usize| step.input(i).map(|view| view.dtype);
    let present = |i: usize| dtype(i).is_some();
    let refuse = |why: &str| Err(Error::unsupported(&node.name, why));
    let wanted = match &node.op {
        Op::Where | Op::Binary(_) | Op::Gemm { .. } | Op::MatMul | Op::MatMulInteger => 2,
        Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } | Op::CumSum { .. } => 2,
        Op::Attention { .. } | Op::Linear { .. } => 2,
        Op::LinearInt8 { .. } => 1,
        Op::AttentionStacked { .. } => 5,
        Op::AttentionAbsorbed { .. } => 6,
        Op::LinearBlocks { .. } | Op::If => 3,
        Op::DequantizeBlocks { .. } | Op::LookUp => 2,
        Op::Range => 3,
        Op::Dims(_) | Op::Shape { .. } => 0,
        _ => 1,
    };
    if (0..wanted).any(|i| !present(i)) {
        return Err(Error::invalid(&node.name, "an operand is missing"));
    }
    let x = dtype(0).unwrap_or(DType::I64);
    let float = matches!(
        node.op,
        Op::Softmax { .. }
            | Op::LayerNorm { .. }
            | Op::MatMul
            | Op::Gemm { .. }
            | Op::Attention { .. }
            | Op::Linear { .. }
            | Op::DynamicQuantizeLinear
            | Op::QuantizeRows
            | Op::TopK { .. }
    );
    let is_weight = |i: usize| i == 1 && matches!(node.op, Op::Linear { .. });
    let fits = |i: usize, dtype| dtype == DType::F32 || (matches!(dtype, DType::F16 | DType::BF16) && is_weight(i));
    if float && step.inputs.iter().enumerate().any(|(i, view)| view.is_some_and(|v| !fits(i, v.dtype))) {
        return refuse(&of("float32 arithmetic on operands", Some(x)));
    }
    match &node.op {
        Op::Unary(op) if !elementwise::fits_unary(*op, x) => refuse(&of(&node.op.name(), Some(x))),
        Op::Binary(op) if !elementwise::fits_binary(*op, x) => refuse(&of(&node.op.name(), Some(x))),
        Op::Softmax { axis, coerced } => {
            let shape = step.outputs[0].shape;
            let axis = crate::infer::normalize_axis(*axis, shape.len()).unwrap_or(0);
            match *coerced || shape.get(axis + 1..).is_none_or(|rest| rest.iter().product::<usize>() == 1) {
                true => Ok(()),
                false => refuse("softmax over an axis that is not the last"),
            }
        }
        Op::Reduce { .. } => match reduction(step) {
            Some(_) if matches!(x, DType::F32 | DType::I64 | DType::I32) => Ok(()),
            Some(_) => refuse(&of("a reduction", Some(x))),
            None => refuse("a reduction over axes that are not neighbours"),
        },
        Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } => match dtype(1) {
            Some(DType::I64 | DType::I32) => Ok(()),
            other => refuse(&of("indices", other)),
        },
        Op::LookUp => match x.size() == 1 && operand(step, 1).range().len() == 256 && step.outputs[0].dtype.size() == 1
        {
            true => Ok(()),
            false => refuse("a look-up of what is not of 8 bits"),
        },
        Op::If if x != DType::Bool => refuse("a condition that is no bool"),
        Op::Range | Op::CumSum { .. } if x == DType::Bool => refuse("numbers of type bool"),
        Op::Gemm { trans_a: true, .. } => refuse("Gemm with a transposed first operand"),
        Op::AttentionHeads { .. } | Op::Dims(_) | Op::Shape { .. } => {
            refuse("an operator that should have been replaced")
        }
        Op::LinearBlocks { code, block, k, n, .. } => match x {
            DType::F32 => quantized::check_blocks(*code, *block, [*k, *n], 1, step).map_or(Ok(()), |why| refuse(&why)),
            other => refuse(&of("float32 arithmetic on operands", Some(other))),
        },
        Op::DequantizeBlocks { code, block, k } => {
            let rows = step.outputs[0].shape.count().checked_div(*k).unwrap_or(0);
            quantized::check_blocks(*code, *block, [*k, rows], 0, step).map_or(Ok(()), |why| refuse(&why))
        }
        Op::TransposeCodes { code, k, n } => {
            let rows = matches!(code, Code::Int4 | Code::Uint4) && n % 2 == 0 || code.has_bytes();
            match rows && x.size() == 1 && code.codes_len(*k, *n, *n) == operand(step, 0).shape.count() {
                true => Ok(()),
                false => refuse("codes that are no matrix of their size"),
            }
        }
        Op::AttentionStacked { .. } => {
            match (0..3).all(|i| dtype(i) == Some(DType::F32)) && dtype(3) == Some(DType::I64) {
                true => Ok(()),
                false => refuse("attention of what is not float32"),
            }
        }
        Op::MatMulInteger | Op::LinearInt8 { .. } | Op::QuantizeLinear { .. } | Op::DequantizeLinear { .. } => {
            quantized::check(&node.op, step).map_or(Ok(()), |why| refuse(&why))
        }
        _ => Ok(()),
    }
}

/// Names what is done to a type that it cannot be done to.
fn of(what: &str, dtype: Option<DType>) -> String {
    format!("{what} of {}", dtype.map_or("nothing", DType::name))
}

/// Runs one step.
pub(crate) fn run(node: &Node, step: &Step, memory: &Memory) -> Result<(), Failure> {
    match &node.op {
        Op::Unary(op) => elementwise::unary(*op, step, memory),
        Op::Binary(op) => elementwise::binary(*op, step, memory),
        Op::Where => elementwise::select(step, memory),
        Op::Cast(_) => elementwise::cast(step, memory),
        Op::Reduce { op, .. } => reduce_step(*op, step, memory),
        Op::Softmax { axis, coerced } => {
            let (shape, x) = (step.outputs[0].shape, in_place(step, memory));
            let axis = crate::infer::normalize_axis(*axis, shape.len()).unwrap_or(0);
            let cols = if *coerced { shape[axis..].iter().product() } else { shape.get(axis).copied().unwrap_or(1) };
            let softmax = if memory.literal { literal::softmax } else { softmax::softmax };
            softmax(x, x.len() / cols.max(1), cols);
        }
        Op::LayerNorm { axis, epsilon, moments } => {
            let shape = step.outputs[0].shape;
            let axis = crate::infer::normalize_axis(*axis, shape.len()).unwrap_or(0);
            let (rows, cols) = (shape[..axis].iter().product(), shape[axis..].iter().product());
            let operand = |i| optional(step, memory, i);
            let x = in_place(step, memory);
            match memory.literal {
                true => literal::layer_norm_in_place(x, rows, cols, operand(1), operand(2), *epsilon, *moments),
                false => layer_norm::layer_norm_in_place(x, rows, cols, operand(1), operand(2), *epsilon),
            }
        }
        Op::MatMul => matrix::matmul(step, memory),
        Op::Gemm { alpha, beta, trans_b, .. } => matrix::gemm(*alpha, *beta, *trans_b, step, memory),
        Op::Attention { heads, scale } => matrix::attention(*heads, *scale, step, memory),
        Op::LinearBlocks { activation, code, block, k, n, half } => {
            quantized::linear_blocks(*activation, *half, *code, *block, [*k, *n], step, memory);
        }
        Op::DequantizeBlocks { code, block, k } => quantized::dequantize_blocks(*code, *block, *k, step, memory),
        Op::TransposeCodes { code, k, n } => quantized::transpose_codes(*code, *k, *n, step, memory),
        Op::AttentionStacked { heads, scale } => matrix::attention_stacked(*heads, *scale, step, memory),
        Op::AttentionAbsorbed { heads, scale, .. } => matrix::attention_absorbed(*heads, *scale, step, memory),
        Op::Linear { activation, alpha, .. } => matrix::linear(*activation, *alpha, step, memory),
        Op::LinearInt8 { activation } => quantized::linear(*activation, step, memory),
        Op::MatMulInteger => quantized::matmul(step, memory),
        Op::DynamicQuantizeLinear | Op::QuantizeRows => quantized::dynamic_quantize(step, memory),
        Op::QuantizeLinear { axis } => quantized::quantize(*axis, step, memory),
        Op::DequantizeLinear { axis } => quantized::dequantize(*axis, step, memory),
        Op::Transpose { .. } | Op::Expand | Op::Slice => movement::strided(&node.op, step, memory),
        Op::Reshape { .. } | Op::Unsqueeze | Op::Squeeze | Op::Flatten { .. } => movement::copy(step, memory),
        Op::Concat { axis } => movement::concat(*axis, step, memory),
        Op::Split { axis } => movement::split(*axis, step, memory),
        Op::Gather { axis } => return movement::gather(*axis, node, step, memory),
        Op::GatherElements { axis } => return movement::gather_elements(*axis, node, step, memory),
        Op::LookUp => movement::look_up(step, memory),
        Op::If => movement::choose(step, memory),
        Op::GatherNd { batch_dims } => return movement::gather_nd(*batch_dims, node, step, memory),
        Op::Tile => movement::tile(step, memory),
        Op::Pad => movement::pad(step, memory),
        Op::Range => movement::range(step, memory),
        Op::CumSum { exclusive, reverse } => movement::cumulate(*exclusive, *reverse, step, memory),
        Op::TopK { axis, largest } => movement::top_k(*axis, *largest, step, memory),
        Op::Shape { .. } | Op::Dims(_) | Op::AttentionHeads { .. } => {}
    }
    Ok(())
}

/// The f32 operand `i`, if there is one.
fn optional<'m>(step: &Step, memory: &'m Memory, i: usize) -> Option<&'m [f32]> {
    step.input(i).map(|view| memory.read(view))
}

/// Operand `i`, which `check` has found.
fn operand(step: &Step, i: usize) -> &crate::plan::View {
    step.input(i).expect("checked when planned")
}

/// The result, holding the first operand already: planned in its place, or copied there.
fn in_place<'m>(step: &Step, memory: &'m Memory) -> &'m mut [f32] {
    let (from, to) = (operand(step, 0), &step.outputs[0]);
    if (from.buffer, from.offset) != (to.buffer, to.offset) {
        memory.write(to).copy_from_slice(memory.read::<f32>(from));
    }
    memory.write(to)
}

/// `[outer, len, inner]` of a reduction over neighbouring axes.
fn reduction(step: &Step) -> Option<[usize; 3]> {
    let shape = operand(step, 0).shape;
    let (mut outer, mut len, mut inner) = (1, 1, 1);
    for (axis, &size) in shape.iter().enumerate() {
        match step.numbers.contains(&(axis as i64)) {
            // An axis of size 1 may be on any side.
            _ if size == 1 => {}
            true if inner > 1 => return None,
            true => len *= size,
            false if len == 1 => outer *= size,
            false => inner *= size,
        }
    }
    Some([outer, len, inner])
}

fn reduce_step(op: Reduce, step: &Step, memory: &Memory) {
    let (Some([outer, len, inner]), view) = (reduction(step), operand(step, 0)) else { return };
    let x = match memory.data(view) {
        Data::F32(x) => return reduce::reduce(op, outer, len, inner, x, memory.write(&step.outputs[0])),
        x => x,
    };
    let mut out = memory.out(step);
    for i in 0..outer * inner {
        let mut value = 0;
        for l in 0..len {
            let x = x.integer((i / inner * len + l) * inner + i % inner);
            value = match op {
                Reduce::Sum | Reduce::Mean => x.wrapping_add(value),
                Reduce::Max if l > 0 => x.max(value),
                Reduce::Min if l > 0 => x.min(value),
                _ => x,
            };
        }
        out.set(i, if op == Reduce::Mean { value / (len as i64).max(1) } else { value });
    }
}

impl From<Unary> for Option<fourlane_kernels::unary::UnaryOp> {
    fn from(op: Unary) -> Self {
        use fourlane_kernels::unary::UnaryOp;
        Some(match op {
            Unary::Abs => UnaryOp::Abs,
            Unary::Neg => UnaryOp::Neg,
            Unary::Sign => UnaryOp::Sign,
            Unary::Ceil => UnaryOp::Ceil,
            Unary::Floor => UnaryOp::Floor,
            Unary::Sqrt => UnaryOp::Sqrt,
            Unary::Reciprocal => UnaryOp::Reciprocal,
            Unary::Exp => UnaryOp::Exp,
            Unary::Log => UnaryOp::Log,
            Unary::Sin => UnaryOp::Sin,
            Unary::Cos => UnaryOp::Cos,
            Unary::Erf => UnaryOp::Erf,
            Unary::Tanh => UnaryOp::Tanh,
            Unary::Sigmoid => UnaryOp::Sigmoid,
            Unary::Relu => UnaryOp::Relu,
            Unary::Gelu => UnaryOp::Gelu,
            Unary::GeluHalf => UnaryOp::GeluHalf,
            Unary::GeluTanh => UnaryOp::GeluTanh,
            Unary::Half => UnaryOp::Half,
            Unary::Not | Unary::IsNan => return None,
        })
    }
}
