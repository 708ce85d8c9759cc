//! Weights whose integer codes are dequantised only to be multiplied with floats stay in codes: in blocks, or with a scale
//! for each row, for each column or for all. The product expands them by the panel, so they never exist as floats.

use super::linear::as_bias;
use super::rewrite::{Draft, Fresh, Matcher, rewrite};
use crate::error::Failure;
use crate::ir::{Activation, Binary, Code, DType, Node, Op, Tensor, ValueId};

/// Makes layers of products with such weights, and rows in codes of what is looked up in tables.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    if cfg!(not(feature = "int4")) {
        return Ok(0);
    }
    let literal = model.literal;
    // The order of additions in a product is another, while rows are the same numbers.
    let product = |m: &Matcher, node: &Node, fresh: &mut Fresh| if literal { None } else { product(m, node, fresh) };
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
    /// What column `l` is multiplied with, if there are such scales, `[k]`.
    columns: Option<ValueId>,
}

fn product(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let turned = match node.op {
        Op::MatMul => false,
        Op::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b } => trans_b,
        _ => return None,
    };
    let (mut x, weight) = node.operands()?;
    let Blocks { code, block, k, n, parts, columns } = blocks(m, weight, turned, fresh)?;
    if let Some(scales) = columns {
        x = fresh.node(Op::Binary(Binary::Mul), &[x, scales], &node.name);
    }
    let mut inputs = vec![Some(x)];
    inputs.extend(parts);
    if let Some(bias) = node.input(2) {
        inputs.resize(4, None);
        inputs.push(Some(as_bias(m, bias, n, fresh)?));
    }
    let op = Op::LinearBlocks { activation: Activation::None, code, block, k, n, half: false };
    fresh.push(Node { op, inputs, ..node.clone() });
    Some(())
}

/// `Gather(table, indices)`
fn look_up(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    let (table, indices) = node.operands().filter(|_| node.op == Op::Gather { axis: 0 })?;
    let Blocks { code, block, k, parts, columns, .. } = blocks(m, table, true, fresh)?;
    let mut rows = Vec::with_capacity(parts.len());
    for &part in parts.iter().flatten() {
        rows.push(fresh.node(node.op.clone(), &[part, indices], &node.name));
    }
    let (op, output) = (Op::DequantizeBlocks { code, block, k }, *node.outputs.first()?);
    match columns {
        None => fresh.finish(op, &rows, output, &node.name),
        Some(scales) => {
            let rows = fresh.node(op, &rows, &node.name);
            fresh.finish(Op::Binary(Binary::Mul), &[rows, scales], output, &node.name);
        }
    }
    Some(())
}

/// The weight `[k, n]`, or `[n, k]` if it is `turned` already.
fn blocks(m: &Matcher, weight: ValueId, turned: bool, fresh: &mut Fresh) -> Option<Blocks> {
    let node = m.producer(weight)?;
    match node.op {
        Op::Transpose { ref perm } if perm == &[1, 0] => blocks(m, node.input(0)?, !turned, fresh),
        Op::DequantizeBlocks { code, block, k } => {
            let [n, _] = m.shape(weight)? else { return None };
            let n = n.known().and_then(|n| usize::try_from(n).ok())?;
            m.constant(node.input(0)?)?;
            if turned {
                return Some(Blocks { code, block, k, n, parts: node.inputs.clone(), columns: None });
            }
            // What is the same for all rows is so for all columns. Pairs of codes in a byte are turned by the pair.
            if !code.has_bytes() && !k.is_multiple_of(2) {
                return None;
            }
            let (k, n) = (n, k);
            let mut parts = vec![Some(fresh.node(Op::TransposeCodes { code, k, n }, &[node.input(0)?], &node.name))];
            let mut columns = None;
            for (i, part) in node.inputs.iter().enumerate().skip(1) {
                let numbers = m.constant((*part)?).filter(|_| block == n)?;
                let same = match uniform(numbers, k) {
                    None if i == 1 => {
                        columns = Some(fresh.constant(Tensor { shape: vec![k], ..numbers.clone() }));
                        Tensor::scalar_f32(1.0)
                    }
                    same => same?,
                };
                parts.push(Some(fresh.constant(repeated(&same, n))));
            }
            code.supports_block(k, k).then_some(Blocks { code, block: k, k, n, parts, columns })
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
            // A number for each row of `[n, k]`; a row is a block.
            let is_of_n = axis == of_n || axis == of_n - 2;
            let mut by_row = |numbers: &Tensor| {
                let numbers = match uniform(numbers, numbers.len()) {
                    Some(same) => repeated(&same, n),
                    None if is_of_n && numbers.len() == n => Tensor { shape: vec![n, 1], ..numbers.clone() },
                    None => return None,
                };
                Some(fresh.constant(numbers))
            };
            let zeros = match node.input(2) {
                Some(zero) => Some(by_row(m.constant(zero).filter(|zeros| zeros.dtype == tensor.dtype)?)?),
                None if code == Code::Uint8 => {
                    Some(by_row(&Tensor { dtype: DType::U8, shape: Vec::new(), data: vec![0].into() })?)
                }
                None => None,
            };
            let scales = m.constant(scale)?;
            let (scales, columns) = match by_row(scales) {
                None if scales.len() == k && !is_of_n => (by_row(&Tensor::scalar_f32(1.0))?, Some(scale)),
                scales => (scales?, None),
            };
            let codes = match turned {
                true => codes,
                false => fresh.transpose(codes, &[1, 0], &node.name),
            };
            let parts = vec![Some(codes), Some(scales), zeros];
            code.supports_block(k, k).then_some(Blocks { code, block: k, k, n, parts, columns })
        }
        _ => None,
    }
}

/// The one that all of `count` elements are, of which each may have several bytes.
fn uniform(tensor: &Tensor, count: usize) -> Option<Tensor> {
    let size = tensor.data.len().checked_div(count).filter(|&size| size > 0)?;
    let first = tensor.data.get(..size)?;
    let same = tensor.data.chunks(size).all(|element| element == first);
    same.then(|| Tensor { dtype: tensor.dtype, shape: Vec::new(), data: first.to_vec().into() })
}

/// `[n, 1]`
fn repeated(element: &Tensor, n: usize) -> Tensor {
    let width = element.data.len() / element.dtype.size();
    Tensor { dtype: element.dtype, shape: vec![n, width], data: element.data.repeat(n).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;
    use crate::ir::Binary;
    use crate::testing::{Builder, assert_passes_keep_meaning, noise, optimized};

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
            for (k, scales) in [(48, 1), (48, 6), (45, 6)] {
                let mut b = Builder::default();
                let x = b.input("x", DType::F32, &["rows", &k.to_string()]);
                let (up, down) = (
                    dequantized(&mut b, dtype, [k, 6], scales, 1, zeros),
                    dequantized(&mut b, dtype, [6, k], scales, 0, zeros),
                );
                let bias = b.weight(&[6]);
                let y = b.node(Op::MatMul, &[x, up]);
                let gemm = Op::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
                let z = b.node(gemm, &[x, down, bias]);
                let y = b.node(Op::Binary(Binary::Add), &[y, z]);
                let model = b.output(y);
                // One takes the other as what is added to it.
                assert_eq!(optimized(&model), ["LinearBlocks", "LinearBlocks"]);
                assert_passes_keep_meaning(&model, &[&[5, k]]);
            }
        }
    }

    /// With a scale for each term of the sum, the terms are scaled before.
    #[test]
    fn scales_along_the_sum() {
        for (zeros, wanted) in [(false, &["Mul", "LinearBlocks"][..]), (true, &["Linear"])] {
            let mut b = Builder::default();
            let x = b.input("x", DType::F32, &["rows", "45"]);
            let weight = dequantized(&mut b, DType::I8, [45, 8], 45, 0, zeros);
            let y = b.node(Op::MatMul, &[x, weight]);
            let model = b.output(y);
            assert_eq!(optimized(&model), wanted);
            assert_passes_keep_meaning(&model, &[&[5, 45]]);
        }
    }

    /// Codes that the loader has left as they are in the file, `[k, n]`, with one scale for all or one for each row.
    #[test]
    fn codes_are_turned_for_a_product() {
        for (code, width) in [(Code::Uint4, 3), (Code::Int16, 12)] {
            for (scales, wanted) in [([0.5; 45], &["LinearBlocks"][..]), ([0.25; 45], &["Mul", "LinearBlocks"])] {
                let mut b = Builder::default();
                let x = b.input("x", DType::F32, &["rows", "45"]);
                let codes = (0..45 * width).map(|i| (i as u8).wrapping_mul(53)).collect();
                let codes = b.constant(Tensor { dtype: DType::U8, shape: vec![45, width], data: codes });
                let scale = |(i, scale): (usize, f32)| if wanted.len() > 1 { scale + noise(i) / 1e3 } else { scale };
                let scales: Vec<f32> = scales.into_iter().enumerate().map(scale).collect();
                let (scales, zeros) = (b.floats(&[45, 1], &scales), b.floats(&[45, 1], &[3.0; 45]));
                let op = Op::DequantizeBlocks { code, block: 6, k: 6 };
                let weight = b.node(op, &[codes, scales, zeros]);
                let y = b.node(Op::MatMul, &[x, weight]);
                let thousandth = b.scalar(1e-3);
                let y = b.node(Op::Binary(Binary::Mul), &[y, thousandth]);
                let model = b.output(y);
                assert_eq!(optimized(&model), [wanted, &["Mul"]].concat());
                assert_passes_keep_meaning(&model, &[&[5, 45]]);
            }
        }
    }

    /// Blocks of 16 with scales in halves, the wrong way around: what is turned of them keeps its type.
    #[test]
    fn scales_of_blocks_stay_halves() {
        let (k, n) = (64, 300);
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "64"]);
        let codes = (0..n * k).map(|i| (i as u8).wrapping_mul(53)).collect();
        let codes = b.constant(Tensor { dtype: DType::U8, shape: vec![n, k], data: codes });
        let halves = (0..n * k / 16).flat_map(|i| half::f16::from_f32(noise(i)).to_le_bytes()).collect();
        let scales = b.constant(Tensor { dtype: DType::F16, shape: vec![k / 16, n], data: halves });
        let scales = b.node(Op::Transpose { perm: vec![1, 0] }, &[scales]);
        let weight = b.node(Op::DequantizeBlocks { code: Code::Uint8, block: 16, k }, &[codes, scales]);
        let weight = b.node(Op::Transpose { perm: vec![1, 0] }, &[weight]);
        let y = b.node(Op::MatMul, &[x, weight]);
        let model = b.output(y);
        assert_eq!(optimized(&model), ["LinearBlocks"]);
        assert_passes_keep_meaning(&model, &[&[5, 64]]);
        let bytes = Session::new(model).unwrap().report().weight_bytes;
        assert!(bytes < n * k + n * k / 16 * 2 + 64, "{bytes}");
    }

    #[test]
    fn rows_of_tables_are_expanded_when_looked_up() {
        let rows = ["Gather", "Gather", "Gather", "DequantizeBlocks"];
        let columns = ["Gather", "Gather", "DequantizeBlocks", "Mul"];
        for (dtype, scales, axis, wanted) in [(DType::U8, 20, 0, rows), (DType::I8, 35, 1, columns)] {
            let mut b = Builder::default();
            let ids = b.input("ids", DType::I64, &["batch", "seq"]);
            let table = dequantized(&mut b, dtype, [20, 35], scales, axis, dtype == DType::U8);
            let y = b.node(Op::Gather { axis: 0 }, &[table, ids]);
            let model = b.output(y);
            assert_eq!(optimized(&model), wanted);
            assert_passes_keep_meaning(&model, &[&[2, 3]]);
        }
    }
}
