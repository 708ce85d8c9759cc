//! From its second run of a shape on, a session allocates nothing, on however many threads of a rayon pool it runs.

#[cfg(feature = "threads")]
use fourlane_graph::Options;
use fourlane_graph::ir::{Activation, Binary, DType, Model, Moments, Node, Op, Port, PortDim, Tensor, ValueId};
use fourlane_graph::{Data, Session, TensorView};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::LazyLock;
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

/// Wide enough that threads share the work of a text of some length.
const HIDDEN: usize = 128;

/// An embedding, one layer of attention with a mask, a feed-forward layer, a classifier of the first token.
fn model() -> Model {
    let mut model = Model::default();
    let mut value = || {
        model.value_count += 1;
        ValueId::new(model.value_count - 1)
    };
    let [ids, mask] = [0; 2].map(|_| value());
    let [table, weight, k_weight, v_weight, first, axes, one, low] = [0; 8].map(|_| value());
    let [x, q, k, v, y, m1, m2, m3, m4, a, norm, logits] = [0; 12].map(|_| value());
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
        (table, floats(&[50, HIDDEN])),
        (weight, floats(&[HIDDEN, HIDDEN])),
        (k_weight, floats(&[HIDDEN, HIDDEN])),
        (v_weight, floats(&[HIDDEN, HIDDEN])),
        (first, Tensor { shape: vec![], ..Tensor::vector_i64(&[0]) }),
        (axes, Tensor::vector_i64(&[1, 2])),
        (one, Tensor::scalar_f32(1.0)),
        (low, Tensor::scalar_f32(f32::MIN)),
    ]);
    let linear = |activation| Op::Linear { activation, alpha: 1.0, trans_b: false };
    let nodes: [(Op, &[ValueId], ValueId); 13] = [
        (Op::Gather { axis: 0 }, &[table, ids], x),
        (Op::MatMul, &[x, weight], q),
        (Op::MatMul, &[x, k_weight], k),
        (Op::MatMul, &[x, v_weight], v),
        (Op::Unsqueeze, &[mask, axes], m1),
        (Op::Cast(DType::F32), &[m1], m2),
        (Op::Binary(Binary::Sub), &[one, m2], m3),
        (Op::Binary(Binary::Mul), &[m3, low], m4),
        (Op::Attention { heads: 2, scale: 0.5 }, &[q, k, v, m4], a),
        (linear(Activation::Gelu), &[a, weight], y),
        (Op::LayerNorm { axis: -1, epsilon: 1e-9, moments: Moments::Wide }, &[y], norm),
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

/// Runs the model and gives how often that allocated.
fn run(session: &mut Session, shape: [usize; 2]) -> usize {
    static IDS: LazyLock<Vec<i64>> = LazyLock::new(|| (0..240).map(|i| i * 7 % 50).collect());
    static MASK: LazyLock<Vec<i64>> = LazyLock::new(|| (0..240).map(|i| i64::from(i % 8 < 6)).collect());
    let count = shape[0] * shape[1];
    let view = |data| TensorView { shape: &shape, data };
    let inputs = [("ids", view(Data::I64(&IDS[..count]))), ("mask", view(Data::I64(&MASK[..count])))];
    let before = CALLS.load(Ordering::Relaxed);
    let outputs = session.run(&inputs).unwrap();
    assert!(outputs.get("logits").is_some_and(|logits| logits.data.len() == shape[0] * HIDDEN));
    CALLS.load(Ordering::Relaxed) - before
}

const SHAPES: [[usize; 2]; 3] = [[1, 8], [6, 40], [3, 5]];

// Without the harness of tests: the counter counts what any thread allocates, and the harness has one of its own.
fn main() {
    let mut session = Session::new(model()).unwrap();
    assert!(session.report().operators.iter().any(|(name, _)| name == "AttentionAbsorbed"));
    let plans = SHAPES.iter().all(|shape| run(&mut session, *shape) > 0);
    assert!(plans, "the first run of a shape plans: is the counter counting?");
    for shape in SHAPES.into_iter().cycle().take(9) {
        assert_eq!(run(&mut session, shape), 0, "a run of {shape:?} allocated");
    }
    #[cfg(feature = "threads")]
    in_pools();
}

#[cfg(feature = "threads")]
fn in_pools() {
    // Threads allocate what they keep when they first look for work.
    let warm_up = |session: &mut Session| {
        for shape in SHAPES.into_iter().cycle().take(300) {
            run(session, shape);
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    pool.install(|| {
        let mut session = Session::new(model()).unwrap();
        warm_up(&mut session);
        for shape in SHAPES.into_iter().cycle().take(300) {
            assert_eq!(run(&mut session, shape), 0, "a run of {shape:?} allocated");
        }
    });
    // What comes into a pool from outside goes through a queue that has blocks of 63.
    let options = Options { threads: 3, ..Options::default() };
    let mut session = Session::with_options(model(), options).unwrap();
    warm_up(&mut session);
    let count: usize = SHAPES.into_iter().cycle().take(630).map(|shape| run(&mut session, shape)).sum();
    assert!(count <= 11, "{count} allocations in 630 runs");
}
