//! Dynamic quantisation takes its range per row instead of per tensor: closer to the float model, as cheap, and a text's
//! result no longer depends on its neighbours in the batch nor on padding.

use super::rewrite::{Draft, rewrite};
use crate::error::Failure;
use crate::ir::{Model, Node, Op, ValueId};

/// Changes every `DynamicQuantizeLinear` that only linear layers read; other readers want a single range.
pub fn run(model: &mut Model) -> Result<usize, Failure> {
    let mut count = 0;
    for i in 0..model.nodes.len() {
        let (earlier, later) = model.nodes.split_at_mut(i + 1);
        let node = &mut earlier[i];
        if node.op != Op::DynamicQuantizeLinear {
            continue;
        }
        // A grouped layer takes its part of each row, with the range of the whole.
        let Some(&y) = node.outputs.first() else { continue };
        let is_split = |reader: &Node| matches!(reader.op, Op::Split { axis: -1 }) && reader.input(0) == Some(y);
        let mut bytes = vec![y];
        later.iter().filter(|reader| is_split(reader)).for_each(|split| bytes.extend(&split.outputs));
        let is_result = |id: &ValueId| node.outputs.contains(id) || bytes.contains(id);
        let reads = |inputs: &[Option<ValueId>]| inputs.iter().flatten().any(is_result);
        let shown = model.outputs.iter().any(|port| is_result(&port.value));
        let fits = |reader: &Node| match reader.op {
            Op::LinearInt8 { .. } => {
                (1..3).all(|i| reader.input(i) == node.outputs.get(i).copied())
                    && reader.input(0).is_some_and(|x| bytes.contains(&x))
                    && !reads(reader.inputs.get(3..).unwrap_or_default())
            }
            _ => is_split(reader),
        };
        if !shown && later.iter().filter(|n| reads(&n.inputs)).all(fits) {
            node.op = Op::QuantizeRows;
            count += 1;
        }
    }
    Ok(count)
}

/// Lets linear layers quantise their rows themselves: always if `fast`, which only they can; else where a layer is the
/// only reader, since several would each do it again.
pub fn into_linear(model: &mut Draft, fast: bool) -> Result<usize, Failure> {
    rewrite(model, |m, node, fresh| {
        let Op::LinearInt8 { .. } = node.op else { return None };
        let bytes = node.input(0)?;
        let quantize = m.producer(bytes).filter(|n| n.op == Op::QuantizeRows && node.input(1).is_some())?;
        let mut layer = node.clone();
        layer.inputs[..3].copy_from_slice(&[quantize.input(0), None, None]);
        fresh.push(layer);
        (fast || m.is_used_once(bytes)).then_some(())
    })
}

#[cfg(test)]
mod tests {
    use crate::ir::{Binary, DType, Op, Tensor};
    use crate::testing::{Builder, noise};
    use crate::{Data, Options, Session, TensorView};

    #[test]
    fn a_row_gives_the_same_bits_beside_any_other() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "8"]);
        let bytes: Vec<u8> = (0..24u8).map(|i| i.wrapping_mul(53)).collect();
        let weight = b.constant(Tensor { dtype: DType::I8, shape: vec![8, 3], data: bytes.into() });
        let scale = b.scalar(0.01);
        let quantized = b.nodes(Op::DynamicQuantizeLinear, &[x], 3);
        let y = b.node(Op::MatMulInteger, &[quantized[0], weight, quantized[2]]);
        let y = b.node(Op::Cast(DType::F32), &[y]);
        let scales = b.node(Op::Binary(Binary::Mul), &[quantized[1], scale]);
        let y = b.node(Op::Binary(Binary::Mul), &[y, scales]);
        let model = b.output(y);
        let row: Vec<f32> = (0..8).map(noise).collect();
        let loud: Vec<f32> = row.iter().chain(&[900.0; 8]).copied().collect();
        let run = |literal: bool, rows: usize, data: &[f32]| {
            let mut session = Session::with_options(model.clone(), Options { literal, ..Options::default() }).unwrap();
            let outputs = session.run(&[("x", TensorView { shape: &[rows, 8], data: Data::F32(data) })]).unwrap();
            outputs.get("output").unwrap().data.as_f32().unwrap()[..3].to_vec()
        };
        assert_eq!(run(false, 1, &row), run(false, 2, &loud));
        assert_eq!(run(false, 1, &row), run(true, 1, &row));
        assert_ne!(run(true, 1, &row), run(true, 2, &loud));
    }
}
