//! Products of quantised tensors become linear layers in integers, however they are spelt: integer products that are
//! scaled afterwards (dynamic quantisation), and float products between dequantised operands (QDQ). What only moves
//! elements is done before they are dequantised, so that tables stay small.

use super::layout::is_reshape;
use super::linear::as_bias;
use super::rewrite::{Draft, Fresh, Matcher, rewrite};
use crate::error::Failure;
use crate::ir::{Activation, Binary, DType, Node, Op, Tensor, ValueId};

/// Makes integer linear layers and moves look-ups before dequantisation.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    let literal = model.literal;
    rewrite(model, |m, node, fresh| {
        scaled_product(m, node, fresh)
            // The sum of floats that the graph speaks of is rounded otherwise than that of integers.
            .or_else(|| if literal { None } else { dequantized_product(m, node, fresh) })
            .or_else(|| if literal { None } else { product_of_two(m, node, fresh) })
            .or_else(|| if literal { None } else { product_of_rounded(m, node, fresh) })
            .or_else(|| movement(m, node, fresh))
            .or_else(|| round_trip(m, node, fresh))
    })
}

/// What an integer linear layer is made of.
struct Product {
    x: ValueId,
    /// 1 without.
    x_scale: Option<ValueId>,
    x_zero: Option<ValueId>,
    weight: ValueId,
    weight_scale: ValueId,
    weight_zero: Option<ValueId>,
}

impl Product {
    /// Adds the layer, if its scales are as the kernel wants them: one for x, one or one per column for the weight.
    fn finish(self, m: &Matcher, columns: usize, bias: Option<ValueId>, node: &Node, fresh: &mut Fresh) -> Option<()> {
        let per_column = |value: ValueId| m.constant(value).is_some_and(|t| t.len() == columns || t.len() == 1);
        let zeros_fit = self.x_zero.is_none_or(|z| m.is_single(z)) && self.weight_zero.is_none_or(per_column);
        if !self.x_scale.is_none_or(|scale| m.is_single(scale)) || !per_column(self.weight_scale) || !zeros_fit {
            return None;
        }
        let zero = || Tensor { dtype: DType::U8, shape: Vec::new(), data: vec![0].into() };
        let x_zero = self.x_zero.unwrap_or_else(|| fresh.constant(zero()));
        let x_scale = self.x_scale.unwrap_or_else(|| fresh.constant(Tensor::scalar_f32(1.0)));
        // The kernel reads zero points as i32.
        let weight_zeros = match self.weight_zero {
            Some(zero) => m.constant(zero)?.integers()?,
            None => vec![0],
        };
        let weight_zero = Tensor::of_integers(DType::I32, vec![weight_zeros.len()], &weight_zeros);
        let weight_zero = fresh.constant(weight_zero);
        let mut operands = vec![self.x, x_scale, x_zero, self.weight, self.weight_scale, weight_zero];
        operands.extend(bias);
        let op = Op::LinearInt8 { activation: Activation::None };
        fresh.finish(op, &operands, *node.outputs.first()?, &node.name);
        Some(())
    }
}

/// `Cast(MatMulInteger(x, weight)) * (x_scale * weight_scale)`
fn scaled_product(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let (a, b) = node.operands().filter(|_| node.op == Op::Binary(Binary::Mul))?;
    let product = |value: ValueId| {
        let cast = m.producer(value).filter(|n| n.op == Op::Cast(DType::F32))?;
        m.producer(cast.input(0)?).filter(|n| n.op == Op::MatMulInteger)
    };
    let (product, scales) = product(a).map(|p| (p, b)).or_else(|| product(b).map(|p| (p, a)))?;
    let (x, weight) = product.operands()?;
    let columns = *m.constant(weight).filter(|t| t.shape.len() == 2)?.shape.last()?;
    let (x_scale, weight_scale) = match m.constant(scales) {
        // Two constants, multiplied already.
        Some(_) => (None, scales),
        None => {
            let (s, t) = m.binary(scales, Binary::Mul)?;
            if m.constant(t).is_some() { (Some(s), t) } else { (Some(t), s) }
        }
    };
    let (x_zero, weight_zero) = (product.input(2), product.input(3));
    Product { x, x_scale, x_zero, weight, weight_scale, weight_zero }.finish(m, columns, None, node, fresh)
}

/// The `DequantizeLinear` that makes `value`, of 8-bit integers.
fn dequantized<'m>(m: &Matcher<'m>, value: ValueId) -> Option<(&'m Node, i64)> {
    let node = m.producer(value)?;
    let Op::DequantizeLinear { axis } = node.op else { return None };
    matches!(m.dtype(node.input(0)?)?, DType::U8 | DType::I8).then_some((node, axis))
}

/// `MatMul` or `Gemm` of two dequantised tensors, the second constant.
fn dequantized_product(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let trans_b = match node.op {
        Op::MatMul => false,
        Op::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b } => trans_b,
        _ => return None,
    };
    let (a, b) = node.operands()?;
    let (x, _) = dequantized(m, a)?;
    let (weight, axis) = dequantized(m, b)?;
    let tensor = m.constant(weight.input(0)?).filter(|t| t.shape.len() == 2)?;
    let column_axis = if trans_b { 0 } else { 1 };
    let columns = tensor.shape[column_axis];
    if !m.is_single(weight.input(1)?) && axis != column_axis as i64 && axis != column_axis as i64 - 2 {
        return None;
    }
    let bias = match node.input(2) {
        Some(bias) => Some(as_bias(m, bias, columns, fresh)?),
        None => None,
    };
    let integers = match trans_b {
        true => fresh.transpose(weight.input(0)?, &[1, 0], &node.name),
        false => weight.input(0)?,
    };
    let product = Product {
        x: x.input(0)?,
        x_scale: Some(x.input(1)?),
        x_zero: x.input(2),
        weight: integers,
        weight_scale: weight.input(1)?,
        weight_zero: weight.input(2),
    };
    product.finish(m, columns, bias, node, fresh)
}

/// What is looked up, turned or given another shape is so before it is dequantised: of a table, and of what is quantised
/// again afterwards, no floats need to be.
fn movement(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    if !matches!(node.op, Op::Gather { .. } | Op::Transpose { .. }) && !is_reshape(&node.op) {
        return None;
    }
    let (dequantize, _) = dequantized(m, node.input(0)?)?;
    if !m.is_single(dequantize.input(1)?) {
        return None;
    }
    let (x, output) = (fresh.value(), *node.outputs.first()?);
    let (mut moved, mut dequantize) = (node.giving(x), dequantize.giving(output));
    *moved.inputs.first_mut()? = dequantize.input(0);
    *dequantize.inputs.first_mut()? = Some(x);
    fresh.push(moved);
    fresh.push(dequantize);
    Some(())
}

/// A product of two computed tensors, as in attention: exact in integers, and scaled afterwards.
fn product_of_two(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let (a, b) = node.operands().filter(|_| node.op == Op::MatMul)?;
    let ((a, _), (b, _)) = (dequantized(m, a)?, dequantized(m, b)?);
    let (a_scale, b_scale) = (a.input(1)?, b.input(1)?);
    if !m.is_single(a_scale) || !m.is_single(b_scale) || m.constant(b.input(0)?).is_some() {
        return None;
    }
    let product = fresh.value();
    let inputs = vec![a.input(0), b.input(0), a.input(2), b.input(2)];
    fresh.push(Node { op: Op::MatMulInteger, inputs, outputs: vec![product], name: node.name.clone() });
    let scale = fresh.node(Op::Binary(Binary::Mul), &[a_scale, b_scale], &node.name);
    fresh.finish(Op::DequantizeLinear { axis: -1 }, &[product, scale], *node.outputs.first()?, &node.name);
    Some(())
}

/// A product of two computed tensors that are quantised dynamically just for it, as in attention that onnxruntime's
/// quantiser has got at: the floats are there, and to leave their rounding out is exacter and cheaper, and lets attention be
/// one operator in which no text counts for another's range.
fn product_of_rounded(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let (a, b) = node.operands().filter(|_| node.op == Op::Binary(Binary::Mul))?;
    for (cast, scales) in [(a, b), (b, a)] {
        let product = m.producer(cast).filter(|n| n.op == Op::Cast(DType::F32)).and_then(|n| m.producer(n.input(0)?));
        let Some(product) = product.filter(|n| n.op == Op::MatMulInteger) else { continue };
        let (x, y) = product.operands()?;
        let rounded = |bytes: ValueId| m.producer(bytes).filter(|n| n.op == Op::DynamicQuantizeLinear);
        let (x, y) = (rounded(x)?, rounded(y)?);
        let (s, t) = m.binary(scales, Binary::Mul)?;
        let of = |i: usize| [x.outputs.get(i).copied(), y.outputs.get(i).copied()];
        if ![[Some(s), Some(t)], [Some(t), Some(s)]].contains(&of(1)) || [product.input(2), product.input(3)] != of(2) {
            return None;
        }
        fresh.finish(Op::MatMul, &[x.input(0)?, y.input(0)?], *node.outputs.first()?, &node.name);
        return Some(());
    }
    None
}

/// `QuantizeLinear(DequantizeLinear(x))` with the same scale and zero point is x.
fn round_trip(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let Op::QuantizeLinear { .. } = node.op else { return None };
    let (dequantize, _) = dequantized(m, node.input(0)?)?;
    let x = dequantize.input(0)?;
    let same = dequantize.inputs.get(1..)? == node.inputs.get(1..)? && m.is_single(node.input(1)?);
    let dtype = m.dtype(x).filter(|d| same && Some(*d) == m.dtype(node.outputs[0]))?;
    // A cast to its own type, which goes as such.
    fresh.finish(Op::Cast(dtype), &[x], *node.outputs.first()?, &node.name);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Model;
    use crate::testing::{Builder, assert_passes_keep_meaning, noise, optimized};
    use crate::{Data, Error, IntegerMode, Options, Session, TensorView};

    fn bytes(b: &mut Builder, dtype: DType, shape: &[usize]) -> ValueId {
        let data: Vec<u8> = (0..shape.iter().product::<usize>()).map(|i| (i as u8).wrapping_mul(53)).collect();
        b.constant(Tensor { dtype, shape: shape.to_vec(), data: data.into() })
    }

    #[test]
    fn dynamically_quantised_product() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["batch", "seq", "4"]);
        let bytes: Vec<u8> = (0..12u8).map(|i| i.wrapping_mul(53)).collect();
        let weight = b.constant(Tensor { dtype: DType::I8, shape: vec![4, 3], data: bytes.into() });
        let zero = b.constant(Tensor { dtype: DType::I8, shape: vec![3], data: vec![0, 3, 250].into() });
        let (scale, bias) = (b.weight(&[3]), b.weight(&[3]));
        let quantized = b.nodes(Op::DynamicQuantizeLinear, &[x], 3);
        let y = b.node(Op::MatMulInteger, &[quantized[0], weight, quantized[2], zero]);
        let y = b.node(Op::Cast(DType::F32), &[y]);
        let scales = b.node(Op::Binary(Binary::Mul), &[quantized[1], scale]);
        let y = b.node(Op::Binary(Binary::Mul), &[y, scales]);
        let y = b.node(Op::Binary(Binary::Add), &[bias, y]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["DynamicQuantizeLinear", "LinearInt8"]);
        assert_passes_keep_meaning(&model, &[&[2, 3, 4]]);
    }

    /// Weights large enough that they are not taken for shapes.
    fn qdq(gemm: bool) -> Model {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "16"]);
        let (scale, zero) = (b.scalar(0.02), bytes(&mut b, DType::I8, &[]));
        let x = b.node(Op::QuantizeLinear { axis: 1 }, &[x, scale, zero]);
        let x = b.node(Op::DequantizeLinear { axis: 1 }, &[x, scale, zero]);
        let weight = bytes(&mut b, DType::I8, if gemm { &[6, 16] } else { &[16, 6] });
        let (scales, bias) = (b.floats(&[6], &[0.01, 0.02, 0.03, 0.04, 0.05, 0.06]), b.weight(&[6]));
        let zeros = b.constant(Tensor { dtype: DType::I8, shape: vec![6], data: vec![0; 6].into() });
        let y = b.node(Op::DequantizeLinear { axis: if gemm { 0 } else { -1 } }, &[weight, scales, zeros]);
        let y = match gemm {
            true => b.node(Op::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true }, &[x, y, bias]),
            false => {
                let y = b.node(Op::MatMul, &[x, y]);
                b.node(Op::Binary(Binary::Add), &[y, bias])
            }
        };
        b.output(y)
    }

    #[test]
    fn products_of_dequantised_tensors() {
        for gemm in [false, true] {
            let model = qdq(gemm);
            assert_eq!(optimized(&model), ["QuantizeLinear", "LinearInt8"]);
            assert_passes_keep_meaning(&model, &[&[5, 16]]);
        }
    }

    #[test]
    fn every_integer_mode_gives_the_same_bits() {
        let model = qdq(false);
        let x: Vec<f32> = (0..80).map(noise).collect();
        let run = |integer_mode| -> Result<_, Error> {
            let options = Options { integer_mode, ..Options::default() };
            let mut session = Session::with_options(model.clone(), options)?;
            let modes = session.report().integer_modes;
            let outputs = session.run(&[("x", TensorView { shape: &[5, 16], data: Data::F32(&x) })])?;
            Ok::<_, Error>((outputs.get("output").unwrap().data.as_f32().unwrap().to_vec(), modes))
        };
        let (expected, _) = run(None).unwrap();
        for mode in IntegerMode::ALL {
            match run(Some(mode)) {
                Ok(result) => assert_eq!(result, (expected.clone(), vec![(mode.name(), 1)])),
                Err(error) => {
                    let best = IntegerMode::best().name();
                    assert_eq!(error, Error::WrongMode { wanted: mode.name(), best });
                    assert!(!mode.is_exact());
                }
            }
        }
    }

    #[test]
    fn tables_stay_small() {
        let mut b = Builder::default();
        let ids = b.input("ids", DType::I64, &["batch", "seq"]);
        let table = bytes(&mut b, DType::U8, &[20, 8]);
        let (scale, zero) = (b.scalar(0.02), bytes(&mut b, DType::U8, &[]));
        let table = b.node(Op::DequantizeLinear { axis: 1 }, &[table, scale, zero]);
        let y = b.node(Op::Gather { axis: 0 }, &[table, ids]);
        let y = b.node(Op::QuantizeLinear { axis: 1 }, &[y, scale, zero]);
        let y = b.node(Op::DequantizeLinear { axis: 1 }, &[y, scale, zero]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Gather", "DequantizeLinear"]);
        assert_passes_keep_meaning(&model, &[&[2, 3]]);
    }

    /// Attention as onnxruntime's quantiser leaves it.
    #[test]
    fn attention_is_not_rounded_on_the_way() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["batch", "seq", "16"]);
        let split = b.integers(&[0, -1, 2, 8]);
        let heads = |b: &mut Builder, perm: [usize; 4]| {
            let y = b.node(Op::Reshape { allow_zero: false }, &[x, split]);
            b.node(Op::Transpose { perm: perm.to_vec() }, &[y])
        };
        let product = |b: &mut Builder, x, y| {
            let (x, y) = (b.nodes(Op::DynamicQuantizeLinear, &[x], 3), b.nodes(Op::DynamicQuantizeLinear, &[y], 3));
            let product = b.node(Op::MatMulInteger, &[x[0], y[0], x[2], y[2]]);
            let product = b.node(Op::Cast(DType::F32), &[product]);
            let scales = b.node(Op::Binary(Binary::Mul), &[x[1], y[1]]);
            b.node(Op::Binary(Binary::Mul), &[product, scales])
        };
        let (q, k, v) = (heads(&mut b, [0, 2, 1, 3]), heads(&mut b, [0, 2, 3, 1]), heads(&mut b, [0, 2, 1, 3]));
        let scores = product(&mut b, q, k);
        let weights = b.node(Op::Softmax { axis: -1, coerced: false }, &[scores]);
        let y = product(&mut b, weights, v);
        let y = b.node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]);
        let joined = b.integers(&[0, -1, 16]);
        let y = b.node(Op::Reshape { allow_zero: false }, &[y, joined]);
        let model = b.output(y);
        let run = |literal| {
            let options = Options { literal, ..Options::default() };
            let mut session = Session::with_options(model.clone(), options).unwrap();
            let operators: Vec<String> = session.report().operators.into_iter().map(|(name, _)| name).collect();
            let x: Vec<f32> = (0..160).map(noise).collect();
            let outputs = session.run(&[("x", TensorView { shape: &[2, 5, 16], data: Data::F32(&x) })]).unwrap();
            (operators, outputs.get("output").unwrap().data.as_f32().unwrap().to_vec())
        };
        let ((literal, rounded), (default, exact)) = (run(true), run(false));
        assert!(literal.contains(&"MatMulInteger".to_string()), "{literal:?}");
        assert_eq!(default, ["Attention"]);
        // As far off as three roundings to 8 bits are.
        for (a, b) in rounded.iter().zip(&exact) {
            assert!((a - b).abs() < 0.02 && a != b, "{a} rounded, {b} not");
        }
    }

    /// As attention: two tensors of bytes, one of them turned, whose product is rounded to bytes.
    #[test]
    fn products_of_two_tensors_are_integers_and_bytes_are_moved() {
        for dtype in [DType::U8, DType::I8] {
            let mut b = Builder::default();
            let x = b.input("x", DType::F32, &["batch", "seq", "16"]);
            let split = b.integers(&[0, -1, 2, 8]);
            let mut heads = |scale: f32, perm: [usize; 4]| {
                let (scale, zero) = (b.scalar(scale), bytes(&mut b, dtype, &[]));
                let round = |b: &mut Builder, x| {
                    let x = b.node(Op::QuantizeLinear { axis: 1 }, &[x, scale, zero]);
                    b.node(Op::DequantizeLinear { axis: 1 }, &[x, scale, zero])
                };
                let y = round(&mut b, x);
                let y = b.node(Op::Reshape { allow_zero: false }, &[y, split]);
                let y = round(&mut b, y);
                let y = b.node(Op::Transpose { perm: perm.to_vec() }, &[y]);
                round(&mut b, y)
            };
            let (q, k) = (heads(0.01, [0, 2, 1, 3]), heads(0.02, [0, 2, 3, 1]));
            let y = b.node(Op::MatMul, &[q, k]);
            let model = b.output(y);
            let ops = optimized(&model);
            let one = ["QuantizeLinear", "Reshape", "Transpose"];
            assert_eq!(ops, [&one[..], &one[..], &["MatMulInteger", "DequantizeLinear"]].concat());
            assert_passes_keep_meaning(&model, &[&[2, 5, 16]]);
        }
    }
}
