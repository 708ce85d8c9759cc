//! From its second run of a shape on, a session allocates nothing.

use fourlane_graph::ir::{Activation, Binary, DType, Model, Moments, Node, Op, Port, PortDim, Tensor, ValueId};
use fourlane_graph::{Data, Session, TensorView};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An embedding, one layer of attention with a mask, a feed-forward layer, a classifier.
fn model() -> Model {
    let mut model = Model::default();
    let mut value = || {
        model.value_count += 1;
        ValueId::new(model.value_count - 1)
    };
    let [ids, mask] = [0; 2].map(|_| value());
    let [table, weight, first, axes, one, low] = [0; 6].map(|_| value());
    let [x, q, y, m1, m2, m3, m4, a, norm, logits] = [0; 10].map(|_| value());
    let floats = |shape: &[usize]| {
        let data = (0..shape.iter().product::<usize>()).flat_map(|i| ((i % 13) as f32 * 0.1 - 0.6).to_le_bytes());
        Tensor { dtype: DType::F32, shape: shape.to_vec(), data: data.collect::<Vec<u8>>().into() }
    };
    let port = |name: &str, value| Port {
        name: name.into(),
        value,
        dtype: DType::I64,
        dims: Some(vec![PortDim::Symbol("batch".into()), PortDim::Symbol("seq".into())]),
    };
    model.inputs = vec![port("ids", ids), port("mask", mask)];
    model.outputs = vec![Port { name: "logits".into(), value: logits, dtype: DType::F32, dims: None }];
    model.constants.extend([
        (table, floats(&[50, 16])),
        (weight, floats(&[16, 16])),
        (first, Tensor { shape: vec![], ..Tensor::vector_i64(&[0]) }),
        (axes, Tensor::vector_i64(&[1, 2])),
        (one, Tensor::scalar_f32(1.0)),
        (low, Tensor::scalar_f32(f32::MIN)),
    ]);
    let linear = |activation| Op::Linear { activation, alpha: 1.0, trans_b: false };
    let nodes: [(Op, &[ValueId], ValueId); 11] = [
        (Op::Gather { axis: 0 }, &[table, ids], x),
        (Op::MatMul, &[x, weight], q),
        (linear(Activation::Gelu), &[x, weight], y),
        (Op::Unsqueeze, &[mask, axes], m1),
        (Op::Cast(DType::F32), &[m1], m2),
        (Op::Binary(Binary::Sub), &[one, m2], m3),
        (Op::Binary(Binary::Mul), &[m3, low], m4),
        (Op::Attention { heads: 2, scale: 0.5 }, &[q, q, y, m4], a),
        (Op::LayerNorm { axis: -1, epsilon: 1e-9, moments: Moments::Wide }, &[a], norm),
        (Op::Gather { axis: 1 }, &[norm, first], logits),
        (Op::Unary(fourlane_graph::ir::Unary::Tanh), &[logits], ValueId::new(model.value_count)),
    ];
    model.value_count += 1;
    model.nodes = nodes
        .into_iter()
        .map(|(op, inputs, output)| Node {
            op,
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![output],
            name: String::new(),
        })
        .collect();
    model
}

#[test]
fn steady_state_allocates_nothing() {
    let mut session = Session::new(model()).unwrap();
    let ids: Vec<i64> = (0..48).map(|i| i * 7 % 50).collect();
    let mask: Vec<i64> = (0..48).map(|i| i64::from(i % 8 < 6)).collect();
    let mut run = |shape: [usize; 2]| {
        let count = shape[0] * shape[1];
        let view = |data| TensorView { shape: &shape, data };
        let before = CALLS.load(Ordering::Relaxed);
        let inputs = [("ids", view(Data::I64(&ids[..count]))), ("mask", view(Data::I64(&mask[..count])))];
        let outputs = session.run(&inputs).unwrap();
        assert!(outputs.get("logits").is_some_and(|logits| logits.data.len() == shape[0] * 16));
        CALLS.load(Ordering::Relaxed) - before
    };
    let shapes = [[1, 8], [6, 8], [3, 5]];
    assert!(shapes.iter().all(|shape| run(*shape) > 0), "the first run of a shape plans: is the counter counting?");
    for _ in 0..3 {
        for shape in shapes {
            assert_eq!(run(shape), 0, "a run of {shape:?} allocated");
        }
    }
}
