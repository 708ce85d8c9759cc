//! Weights whose integer codes are dequantised only to be multiplied with floats stay in codes: 4 bits in blocks, 8 bits
//! with a scale for each column. The product expands them by the panel, so they never exist as floats.

use super::linear::as_bias;
use super::rewrite::{Draft, Fresh, Matcher, rewrite};
use crate::error::Failure;
use crate::ir::{Activation, Code, DType, Node, Op, Tensor, ValueId};

/// Makes layers of products with such weights, and rows in codes of what is looked up in tables.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    rewrite(model, |m, node, fresh| product(m, node, fresh).or_else(|| look_up(m, node, fresh)))
}

/// A matrix `[n, k]`.
struct Blocks {
    code: Code,
    block: usize,
    k: usize,
    n: usize,
    /// Codes, scales, zero points.
    parts: Vec<Option<ValueId>>,
}

fn product(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let turned = match node.op {
        Op::MatMul => false,
        Op::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b } => trans_b,
        _ => return None,
    };
    let (x, weight) = node.operands()?;
    let Blocks { code, block, k, n, parts } = blocks(m, weight, turned, fresh)?;
    let mut inputs = vec![Some(x)];
    inputs.extend(parts);
    if let Some(bias) = node.input(2) {
        inputs.resize(4, None);
        inputs.push(Some(as_bias(m, bias, n, fresh)?));
    }
    let op = Op::LinearBlocks { activation: Activation::None, code, block, k, n };
    fresh.push(Node { op, inputs, ..node.clone() });
    Some(())
}

/// `Gather(table, indices)`
fn look_up(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let (table, indices) = node.operands().filter(|_| node.op == Op::Gather { axis: 0 })?;
    let Blocks { code, block, k, parts, .. } = blocks(m, table, true, fresh)?;
    let rows = |part| fresh.node(node.op.clone(), &[part, indices], &node.name);
    let parts: Vec<ValueId> = parts.into_iter().flatten().map(rows).collect();
    fresh.finish(Op::DequantizeBlocks { code, block, k }, &parts, *node.outputs.first()?, &node.name);
    Some(())
}

/// The weight `[k, n]`, or `[n, k]` if it is `turned` already.
fn blocks(m: &Matcher, weight: ValueId, turned: bool, fresh: &mut Fresh) -> Option<Blocks> {
    let node = m.producer(weight)?;
    match node.op {
        Op::Transpose { ref perm } if perm == &[1, 0] => blocks(m, node.input(0)?, !turned, fresh),
        Op::DequantizeBlocks { code, block, k } if turned => {
            let [n, _] = m.shape(weight)? else { return None };
            let n = n.known().and_then(|n| usize::try_from(n).ok())?;
            m.constant(node.input(0)?)?;
            Some(Blocks { code, block, k, n, parts: node.inputs.clone() })
        }
        Op::DequantizeLinear { axis } => {
            let (codes, scale) = node.operands()?;
            let tensor = m.constant(codes)?;
            let [rows, cols] = tensor.shape[..] else { return None };
            let (k, n, of_n) = if turned { (cols, rows, 0) } else { (rows, cols, 1) };
            let code = match tensor.dtype {
                DType::I8 => Code::Int8,
                DType::U8 => Code::Uint8,
                _ => return None,
            };
            // As large as blocks can be without filling up rows.
            let block = 1usize.checked_shl(k.trailing_zeros()).filter(|&block| Code::supports_block(block))?;
            let for_blocks = |len: usize| {
                let fits = len == 1 || (len == n && (axis == of_n || axis == of_n - 2));
                let each = k / block;
                fits.then(|| (0..n * each).map(move |i| if len == 1 { 0 } else { i / each }))
            };
            let scales = m.constant(scale)?.floats()?;
            let data: Vec<u8> = for_blocks(scales.len())?.flat_map(|i| scales[i].to_le_bytes()).collect();
            let scales = fresh.constant(Tensor { dtype: DType::F32, shape: vec![n, k / block], data: data.into() });
            let zeros = match node.input(2) {
                Some(zero) => m.constant(zero)?.integers()?,
                None => vec![0],
            };
            let data: Vec<u8> = for_blocks(zeros.len())?.map(|i| zeros[i] as u8).collect();
            let implied = code == Code::Int8 && data.iter().all(|&zero| zero == 0);
            let zeros = Tensor { dtype: DType::U8, shape: vec![n, k / block], data: data.into() };
            let zeros = (!implied).then(|| fresh.constant(zeros));
            let codes = match turned {
                true => codes,
                false => fresh.node(Op::Transpose { perm: vec![1, 0] }, &[codes], &node.name),
            };
            Some(Blocks { code, block, k, n, parts: vec![Some(codes), Some(scales), zeros] })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Binary;
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    fn dequantized(b: &mut Builder, dtype: DType, shape: [usize; 2], scales: usize, axis: i64, zeros: bool) -> ValueId {
        let mut bytes = |shape: &[usize]| {
            let data: Vec<u8> = (0..shape.iter().product::<usize>()).map(|i| (i as u8).wrapping_mul(53)).collect();
            b.constant(Tensor { dtype, shape: shape.to_vec(), data: data.into() })
        };
        let (codes, zero) = (bytes(&shape), bytes(&[scales]));
        let scale: Vec<f32> = (1..=scales).map(|i| i as f32 / 100.0).collect();
        let scale = b.floats(&[scales], &scale);
        let inputs = if zeros { vec![codes, scale, zero] } else { vec![codes, scale] };
        b.node(Op::DequantizeLinear { axis }, &inputs)
    }

    #[test]
    fn weights_of_float_products_stay_bytes() {
        for (dtype, zeros) in [(DType::I8, false), (DType::I8, true), (DType::U8, false), (DType::U8, true)] {
            for scales in [1, 6] {
                let mut b = Builder::default();
                let x = b.input("x", DType::F32, &["rows", "48"]);
                let (up, down) = (
                    dequantized(&mut b, dtype, [48, 6], scales, 1, zeros),
                    dequantized(&mut b, dtype, [6, 48], scales, 0, zeros),
                );
                let bias = b.weight(&[6]);
                let y = b.node(Op::MatMul, &[x, up]);
                let gemm = Op::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
                let z = b.node(gemm, &[x, down, bias]);
                let y = b.node(Op::Binary(Binary::Add), &[y, z]);
                let model = b.output(y);
                // One takes the other as what is added to it.
                assert_eq!(optimized(&model), ["LinearBlocks", "LinearBlocks"]);
                assert_passes_keep_meaning(&model, &[&[5, 48]]);
            }
        }
    }

    #[test]
    fn scales_along_the_sum_and_odd_widths_are_left_alone() {
        for (shape, axis) in [([48, 8], 0), ([40, 8], 1)] {
            let mut b = Builder::default();
            let x = b.input("x", DType::F32, &["rows", &shape[0].to_string()]);
            let weight = dequantized(&mut b, DType::I8, shape, shape[axis as usize], axis, true);
            let y = b.node(Op::MatMul, &[x, weight]);
            let model = b.output(y);
            assert_eq!(optimized(&model), ["Linear"]);
            assert_passes_keep_meaning(&model, &[&[5, shape[0]]]);
        }
    }

    #[test]
    fn rows_of_tables_are_expanded_when_looked_up() {
        let mut b = Builder::default();
        let ids = b.input("ids", DType::I64, &["batch", "seq"]);
        let table = dequantized(&mut b, DType::U8, [20, 32], 20, 0, true);
        let y = b.node(Op::Gather { axis: 0 }, &[table, ids]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["Gather", "Gather", "Gather", "DequantizeBlocks"]);
        assert_passes_keep_meaning(&model, &[&[2, 3]]);
    }
}
