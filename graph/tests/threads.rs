//! The same bits on any number of threads, whether they are a session's own or those of the pool in which it runs.
#![cfg(feature = "threads")]

use fourlane_graph::ir::{Activation, Binary, DType, Model, Moments, Node, Op, Port, PortDim, Tensor, ValueId};
use fourlane_graph::{Data, Options, Session, TensorView};

const HIDDEN: usize = 96;
const HEADS: usize = 6;

/// Layers of attention and feed-forward over `x`, `[batch, seq, hidden]`.
fn model() -> Model {
    let mut model = Model::default();
    let mut value = || {
        model.value_count += 1;
        ValueId::new(model.value_count - 1)
    };
    let [x, q, k, v, out, wide, narrow, one] = [0; 8].map(|_| value());
    let weight = |rows: usize, cols: usize, seed: usize| {
        let float = |i: usize| ((i * 2654435761 + seed * 977) % 1009) as f32 / 5045.0 - 0.1;
        let data: Vec<u8> = (0..rows * cols).flat_map(|i| float(i).to_le_bytes()).collect();
        Tensor { dtype: DType::F32, shape: vec![rows, cols], data: data.into() }
    };
    let square = |seed| weight(HIDDEN, HIDDEN, seed);
    let scale = Tensor { shape: vec![HIDDEN], ..weight(1, HIDDEN, 9) };
    model.constants = [
        (q, square(1)),
        (k, square(2)),
        (v, square(3)),
        (out, square(4)),
        (wide, weight(HIDDEN, 4 * HIDDEN, 5)),
        (narrow, weight(4 * HIDDEN, HIDDEN, 6)),
        (one, scale),
    ]
    .into_iter()
    .collect();
    let linear = |activation| Op::Linear { activation, alpha: 1.0, trans_b: false };
    let plain = || linear(Activation::None);
    let norm = || Op::LayerNorm { axis: -1, epsilon: 1e-6, moments: Moments::default() };
    let mut last = x;
    let mut nodes = Vec::new();
    let mut node = |op, inputs: &[ValueId]| {
        let output = value();
        let (inputs, outputs) = (inputs.iter().copied().map(Some).collect(), vec![output]);
        nodes.push(Node { op, inputs, outputs, name: String::new() });
        output
    };
    for _ in 0..2 {
        let parts = [q, k, v].map(|weight| node(plain(), &[last, weight]));
        let context = node(Op::Attention { heads: HEADS, scale: 0.25 }, &parts);
        let context = node(plain(), &[context, out]);
        let sum = node(Op::Binary(Binary::Add), &[context, last]);
        let middle = node(norm(), &[sum, one]);
        let inner = node(linear(Activation::Gelu), &[middle, wide]);
        let inner = node(plain(), &[inner, narrow]);
        let sum = node(Op::Binary(Binary::Add), &[inner, middle]);
        last = node(norm(), &[sum, one]);
    }
    model.nodes = nodes;
    let dims = [PortDim::Symbol("batch".into()), PortDim::Symbol("seq".into()), PortDim::Fixed(HIDDEN)];
    model.inputs = vec![Port { name: "x".into(), value: x, dtype: DType::F32, dims: Some(dims.to_vec()) }];
    model.outputs = vec![Port { name: "y".into(), value: last, dtype: DType::F32, dims: None }];
    model
}

fn bits(session: &mut Session, shape: [usize; 3]) -> Vec<u32> {
    let x: Vec<f32> = (0..shape.iter().product()).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let outputs = session.run(&[("x", TensorView { shape: &shape, data: Data::F32(&x) })]).unwrap();
    outputs.get("y").and_then(|y| y.data.as_f32()).unwrap().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn bits_do_not_depend_on_threads() {
    let mut one = Session::new(model()).unwrap();
    let shapes = [[1, 1, HIDDEN], [1, 70, HIDDEN], [5, 31, HIDDEN], [2, 150, HIDDEN]];
    let expected = shapes.map(|shape| bits(&mut one, shape));
    assert!(expected.iter().flatten().all(|&bits| f32::from_bits(bits).is_finite()));
    for threads in 1..=4 {
        let mut own = Session::with_options(model(), Options { threads, ..Options::default() }).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for (shape, expected) in shapes.into_iter().zip(&expected) {
            for _ in 0..5 {
                assert!(bits(&mut own, shape) == *expected, "{threads} threads of its own, {shape:?}");
                // A session whose plans were made outside of a pool, with less scratch.
                let given = pool.install(|| bits(&mut one, shape));
                assert!(given == *expected, "a pool of {threads} threads, {shape:?}");
            }
        }
    }
}
