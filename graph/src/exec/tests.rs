//! Operators against results worked out by hand from their definitions.

use crate::ir::{Binary, DType, Moments, Op, Reduce, Tensor, Unary, ValueId};
use crate::testing::{Builder, noise};
use crate::{Data, Error, Options, Session, TensorView};

/// What an operator gives for a f32 input, other operands being constants.
fn eval(
    op: Op,
    shape: &[usize],
    data: &[f32],
    operands: impl FnOnce(&mut Builder) -> Vec<ValueId>,
) -> (Vec<usize>, Vec<f32>) {
    eval_of(op, shape, data, operands, 1)
}

/// The first output of an operator that has several.
fn eval_of(
    op: Op,
    shape: &[usize],
    data: &[f32],
    operands: impl FnOnce(&mut Builder) -> Vec<ValueId>,
    outputs: usize,
) -> (Vec<usize>, Vec<f32>) {
    let mut b = Builder::default();
    let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let x = b.input("x", DType::F32, &dims.iter().map(String::as_str).collect::<Vec<_>>());
    let mut inputs = vec![x];
    inputs.extend(operands(&mut b));
    let y = b.nodes(op, &inputs, outputs)[0];
    let mut session = Session::with_options(b.output(y), Options { optimize: false, ..Options::default() }).unwrap();
    let outputs = session.run(&[("x", TensorView { shape, data: Data::F32(data) })]).unwrap();
    let y = outputs.get("output").unwrap();
    (y.shape.to_vec(), y.data.as_f32().unwrap().to_vec())
}

fn counting(n: usize) -> Vec<f32> {
    (0..n).map(|i| i as f32).collect()
}

#[test]
fn slice_with_steps() {
    let (shape, y) = eval(Op::Slice, &[4, 5], &counting(20), |b| {
        [[3, 0], [-100, 5], [0, 1], [-2, 2]].map(|v| b.integers(&v)).to_vec()
    });
    assert_eq!(shape, [2, 3]);
    assert_eq!(y, [15.0, 17.0, 19.0, 5.0, 7.0, 9.0]);
    let all = |b: &mut Builder| [[1], [i64::MAX], [1]].map(|v| b.integers(&v)).to_vec();
    assert_eq!(eval(Op::Slice, &[2, 3], &counting(6), all).1, [1.0, 2.0, 4.0, 5.0]);
    let one_from_the_end = |b: &mut Builder| [[-1], [i64::MIN], [0], [i64::MIN]].map(|v| b.integers(&v)).to_vec();
    assert_eq!(eval(Op::Slice, &[3], &counting(3), one_from_the_end).1, [2.0]);
}

#[test]
fn pad_tile_and_expand() {
    let (shape, y) = eval(Op::Pad, &[2, 2], &counting(4), |b| {
        let pads = b.integers(&[0, 1, 1, 0]);
        vec![pads, b.scalar(9.0)]
    });
    assert_eq!((shape, y), (vec![3, 3], vec![9.0, 0.0, 1.0, 9.0, 2.0, 3.0, 9.0, 9.0, 9.0]));
    let (shape, y) = eval(Op::Tile, &[1, 2], &counting(2), |b| vec![b.integers(&[2, 2])]);
    assert_eq!((shape, y), (vec![2, 4], vec![0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]));
    let (shape, y) = eval(Op::Expand, &[2, 1], &counting(2), |b| vec![b.integers(&[2, 1, 2])]);
    assert_eq!((shape, y), (vec![2, 2, 2], vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]));
}

#[test]
fn gathers() {
    let (shape, y) = eval(Op::Gather { axis: 1 }, &[2, 3], &counting(6), |b| vec![b.integers(&[-1, 0])]);
    assert_eq!((shape, y), (vec![2, 2], vec![2.0, 0.0, 5.0, 3.0]));
    let matrix = |b: &mut Builder, shape: &[usize], v: &[i64]| {
        b.constant(Tensor { shape: shape.to_vec(), ..Tensor::vector_i64(v) })
    };
    let (_, y) =
        eval(Op::GatherElements { axis: 1 }, &[2, 3], &counting(6), |b| vec![matrix(b, &[2, 2], &[0, 0, -1, 1])]);
    assert_eq!(y, [0.0, 0.0, 5.0, 4.0]);
    let (shape, y) =
        eval(Op::GatherNd { batch_dims: 0 }, &[2, 3], &counting(6), |b| vec![matrix(b, &[3, 2], &[1, 1, 0, 2, -1, 0])]);
    assert_eq!((shape, y), (vec![3], vec![4.0, 2.0, 3.0]));
    let (_, y) = eval(Op::GatherNd { batch_dims: 1 }, &[2, 3], &counting(6), |b| vec![matrix(b, &[2, 1], &[2, 0])]);
    assert_eq!(y, [2.0, 3.0]);
}

#[test]
fn the_best() {
    let x = [3.0, 1.0, 2.0, 1.0, 3.0, 5.0];
    let k = |k: i64| move |b: &mut Builder| vec![b.integers(&[k])];
    let best = |axis, largest, count| eval_of(Op::TopK { axis, largest }, &[2, 3], &x, k(count), 2);
    assert_eq!(best(1, true, 2), (vec![2, 2], vec![3.0, 2.0, 5.0, 3.0]));
    assert_eq!(best(-1, false, 3), (vec![2, 3], vec![1.0, 2.0, 3.0, 1.0, 3.0, 5.0]));
    assert_eq!(best(0, true, 1), (vec![1, 3], vec![3.0, 3.0, 5.0]));
    assert_eq!(best(0, true, 0), (vec![0, 3], vec![]));
}

#[test]
fn reductions_and_sums() {
    let reduce = |op, keep_dims| Op::Reduce { op, keep_dims, noop_with_empty_axes: false };
    let axes = |v: &'static [i64]| move |b: &mut Builder| vec![b.integers(v)];
    assert_eq!(eval(reduce(Reduce::Mean, true), &[2, 2], &counting(4), axes(&[-1])), (vec![2, 1], vec![0.5, 2.5]));
    assert_eq!(eval(reduce(Reduce::Sum, false), &[2, 2], &counting(4), axes(&[0])), (vec![2], vec![2.0, 4.0]));
    assert_eq!(eval(reduce(Reduce::Max, false), &[2, 2], &counting(4), |_| vec![]), (vec![], vec![3.0]));
    let sum = Op::CumSum { exclusive: true, reverse: true };
    assert_eq!(eval(sum, &[3], &[1.0, 2.0, 4.0], |b| vec![b.integers(&[0])]).1, [6.0, 4.0, 0.0]);
}

#[test]
fn stacked_products_broadcast() {
    let (shape, y) =
        eval(Op::MatMul, &[2, 1, 1, 2], &counting(4), |b| vec![b.floats(&[2, 2, 1], &[1.0, 10.0, 100.0, 1000.0])]);
    assert_eq!((shape, y), (vec![2, 2, 1, 1], vec![10.0, 1000.0, 32.0, 3200.0]));
    let (shape, y) = eval(Op::MatMul, &[2, 3], &counting(6), |b| vec![b.floats(&[3], &[1.0, 1.0, 1.0])]);
    assert_eq!((shape, y), (vec![2], vec![3.0, 12.0]));
}

#[test]
fn stacked_integer_products() {
    let mut b = Builder::default();
    let x = b.input("x", DType::U8, &["2", "1", "2"]);
    let weight = b.constant(Tensor { dtype: DType::I8, shape: vec![2, 2, 1], data: vec![1, 10, 255, 2].into() });
    let zero = b.constant(Tensor { dtype: DType::U8, shape: vec![], data: vec![1].into() });
    let y = b.node(Op::MatMulInteger, &[x, weight, zero]);
    let mut session = Session::new(b.output(y)).unwrap();
    let view = TensorView { shape: &[2, 1, 2], data: Data::U8(&[1, 2, 3, 0]) };
    let outputs = session.run(&[("x", view)]).unwrap();
    assert_eq!(outputs.get("output").unwrap().data, Data::I32(&[10, -4]));
}

#[test]
fn softmax_of_old_opsets_covers_all_trailing_axes() {
    let (_, y) = eval(Op::Softmax { axis: 1, coerced: true }, &[1, 2, 2], &[0.0; 4], |_| vec![]);
    assert_eq!(y, [0.25; 4]);
}

#[test]
fn integers_are_exact() {
    let mut b = Builder::default();
    let x = b.input("x", DType::I64, &["n"]);
    let big = b.integers(&[i64::MAX - 1]);
    let y = b.node(Op::Binary(Binary::Min), &[x, big]);
    let y = b.node(Op::Unary(Unary::Neg), &[y]);
    let mut session = Session::new(b.output(y)).unwrap();
    let data = Data::I64(&[3, i64::MAX, -7]);
    let outputs = session.run(&[("x", TensorView { shape: &[3], data })]).unwrap();
    assert_eq!(outputs.get("output").unwrap().data, Data::I64(&[-3, -(i64::MAX - 1), 7]));
}

#[test]
fn what_cannot_run_is_said_when_the_session_is_made() {
    let mut b = Builder::default();
    let x = b.input("x", DType::U8, &["n"]);
    let y = b.node(Op::Unary(Unary::Erf), &[x]);
    let error = Session::new(b.output(y)).err().unwrap();
    assert_eq!(error.to_string(), "the model is not supported at node 'node 0': Erf of uint8");
    let mut b = Builder::default();
    let x = b.input("x", DType::F32, &["n", "3"]);
    let y = b.weight(&[2, 2]);
    let y = b.node(Op::MatMul, &[x, y]);
    assert!(matches!(Session::new(b.output(y)).err(), Some(Error::InvalidModel { .. })));
}

/// A tower of operators of every in-place, aliasing and scratch-using kind, in random order: the plan's promise that no
/// step writes what another still needs, for any shape.
#[test]
fn only_axes_of_size_1_are_squeezed() {
    let session = |data: &[f32]| {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows"]);
        let (row, axes) = (b.floats(&[data.len()], data), b.integers(&[0]));
        let one = b.node(Op::Squeeze, &[row, axes]);
        let one = b.node(Op::Softmax { axis: -1, coerced: false }, &[one]);
        let y = b.node(Op::Binary(Binary::Add), &[x, one]);
        Session::with_options(b.output(y), Options { optimize: false, ..Options::default() })
    };
    assert!(session(&[5.0]).is_ok());
    assert!(matches!(session(&[5.0, 6.0, 7.0]), Err(Error::InvalidModel { .. })));
}

#[test]
fn plans_keep_live_values_apart() {
    for seed in 0..40 {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["n", "8"]);
        let (weight, scale) = (b.weight(&[8, 8]), b.weight(&[8]));
        let wide = b.integers(&[0, 2, 4]);
        let flat = b.integers(&[-1, 8]);
        let mut values = vec![x];
        for i in 0..14 {
            let pick =
                |k: usize| values[(noise(seed * 100 + i * 3 + k).abs() * values.len() as f32) as usize % values.len()];
            let (p, q) = (pick(0), pick(1));
            let value = match (noise(seed * 77 + i).abs() * 7.0) as usize {
                0 => b.node(Op::Unary(Unary::Tanh), &[p]),
                1 => b.node(Op::Binary(Binary::Add), &[p, q]),
                2 => b.node(Op::MatMul, &[p, weight]),
                3 => b.node(Op::LayerNorm { axis: -1, epsilon: 1e-5, moments: Moments::Wide }, &[p, scale]),
                4 => {
                    let y = b.node(Op::Reshape { allow_zero: false }, &[p, wide]);
                    let y = b.node(Op::Unary(Unary::Abs), &[y]);
                    b.node(Op::Reshape { allow_zero: false }, &[y, flat])
                }
                5 => b.node(Op::Softmax { axis: -1, coerced: false }, &[p]),
                _ => b.node(Op::Binary(Binary::Mul), &[p, q]),
            };
            values.push(value);
        }
        let last = values[values.len() - 1];
        let mut model = b.output(last);
        crate::testing::assert_passes_keep_meaning(&model, &[&[3, 8]]);
        crate::passes::run(&mut model, &crate::testing::LITERAL).unwrap();
        let weights =
            crate::weights::Weights::take(&mut model, crate::weights::Integers::ANYWHERE, crate::weights::Halves::Kept)
                .unwrap();
        for n in [1, 2, 5, 17] {
            let inference = crate::infer::infer(&model, &[crate::dim::Dim::Const(n)]).unwrap();
            crate::plan::Plan::new(&model, &inference, &weights).unwrap().assert_disjoint(&model);
        }
    }
}
