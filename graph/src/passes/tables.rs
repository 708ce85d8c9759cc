//! Between statically quantised tensors, arithmetic with single constants is a function of one byte: a table.
//!
//! A GELU that exporters have rounded to 8 bits after each of its steps cannot be one operator without changing numbers. But
//! whatever happens to a byte until it is a byte again, by the operators that the model names and with all of their
//! roundings, gives one of 256 results. So the steps are computed for all bytes once, as constants, and looked up.

use super::rewrite::{Draft, Fresh, Matcher, rewrite};
use crate::error::Failure;
use crate::ir::{DType, Node, Op, Tensor, ValueId};

/// Makes tables.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    rewrite(model, table)
}

/// So many steps are looked at, those that are shared each time.
const STEPS: usize = 64;

/// The node that makes `value`, if it works element by element.
fn step<'m>(m: &Matcher<'m>, value: ValueId) -> Option<&'m Node> {
    use Op::{Binary, Cast, DequantizeLinear, QuantizeLinear, Unary};
    let is_step =
        |op: &Op| matches!(op, Unary(_) | Binary(_) | Cast(_) | QuantizeLinear { .. } | DequantizeLinear { .. });
    m.producer(value).filter(|node| is_step(&node.op))
}

/// The one tensor of bytes, as far back as there is one, that `value` is a function of.
fn source(m: &Matcher, value: ValueId, steps: &mut usize) -> Option<ValueId> {
    let is_byte = matches!(m.dtype(value), Some(DType::U8 | DType::I8));
    deeper_source(m, value, steps).or_else(|| is_byte.then_some(value))
}

fn deeper_source(m: &Matcher, value: ValueId, steps: &mut usize) -> Option<ValueId> {
    *steps = steps.checked_sub(1)?;
    let mut found = None;
    for &operand in step(m, value)?.inputs.iter().flatten() {
        if m.constant(operand).is_some_and(|tensor| tensor.len() == 1) {
            continue;
        }
        let operand = source(m, operand, steps)?;
        if found.is_some_and(|other| other != operand) {
            return None;
        }
        found = Some(operand);
    }
    found
}

/// Writes what makes `value` once more, for what stands for others in `copies`, by value id.
fn copy(m: &Matcher, value: ValueId, copies: &mut [Option<ValueId>], fresh: &mut Fresh) -> Option<ValueId> {
    let known = copies[value.index()].or(m.constant(value).map(|_| value));
    if known.is_some() {
        return known;
    }
    let node = step(m, value)?;
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for &input in &node.inputs {
        inputs.push(match input {
            Some(input) => Some(copy(m, input, copies, fresh)?),
            None => None,
        });
    }
    let output = fresh.value();
    fresh.push(Node { inputs, outputs: vec![output], ..node.clone() });
    copies[value.index()] = Some(output);
    Some(output)
}

fn table(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let Op::QuantizeLinear { .. } = node.op else { return None };
    let output = *node.outputs.first()?;
    let x = source(m, output, &mut STEPS.clone()).filter(|&x| x != output && m.shape(x) == m.shape(output))?;
    let all = Tensor { dtype: m.dtype(x)?, shape: vec![256], data: (0..=u8::MAX).collect() };
    let mut copies = vec![None; m.value_count()];
    copies[x.index()] = Some(fresh.constant(all));
    let table = copy(m, output, &mut copies, fresh)?;
    fresh.finish(Op::LookUp, &[x, table], output, &node.name);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Binary, Unary};
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    fn zero(b: &mut Builder, dtype: DType, zero: u8) -> ValueId {
        b.constant(Tensor { dtype, shape: vec![], data: vec![zero].into() })
    }

    /// Rounded to bytes.
    fn rounded(b: &mut Builder, x: ValueId, scale: f32, dtype: DType) -> ValueId {
        let (scale, zero) = (b.scalar(scale), zero(b, dtype, 7));
        let x = b.node(Op::QuantizeLinear { axis: 1 }, &[x, scale, zero]);
        b.node(Op::DequantizeLinear { axis: 1 }, &[x, scale, zero])
    }

    #[test]
    fn a_gelu_that_is_rounded_at_every_step() {
        for dtype in [DType::U8, DType::I8] {
            let mut b = Builder::default();
            let x = b.input("x", DType::F32, &["rows", "300"]);
            let x = rounded(&mut b, x, 0.01, dtype);
            let (root, one, half) = (b.scalar(2f32.sqrt()), b.scalar(1.0), b.scalar(0.5));
            let y = b.node(Op::Binary(Binary::Div), &[x, root]);
            let y = b.node(Op::Unary(Unary::Erf), &[y]);
            let y = rounded(&mut b, y, 0.008, DType::I8);
            let y = b.node(Op::Binary(Binary::Add), &[y, one]);
            let y = rounded(&mut b, y, 0.009, DType::U8);
            let y = b.node(Op::Binary(Binary::Mul), &[x, y]);
            let y = rounded(&mut b, y, 0.011, dtype);
            let y = b.node(Op::Binary(Binary::Mul), &[half, y]);
            let y = rounded(&mut b, y, 0.005, DType::U8);
            let model = b.output(y);
            assert_eq!(optimized(&model), ["QuantizeLinear", "LookUp", "DequantizeLinear"]);
            assert_passes_keep_meaning(&model, &[&[3, 300]]);
        }
    }

    #[test]
    fn what_depends_on_more_than_a_byte_is_left_alone() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "8"]);
        let bias = b.weight(&[8]);
        let y = rounded(&mut b, x, 0.01, DType::U8);
        let y = b.node(Op::Binary(Binary::Add), &[y, bias]);
        let z = rounded(&mut b, y, 0.02, DType::U8);
        let y = b.node(Op::Binary(Binary::Mul), &[y, z]);
        let y = rounded(&mut b, y, 0.02, DType::U8);
        let model = b.output(y);
        assert!(!optimized(&model).contains(&"LookUp".to_string()));
        assert_passes_keep_meaning(&model, &[&[3, 8]]);
    }
}
