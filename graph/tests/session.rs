//! What a caller can do wrong, and that the session survives it.

use fourlane_graph::ir::{DType, Model, Node, Op, Port, PortDim, Tensor, ValueId};
use fourlane_graph::{Data, Error, Session, TensorView};

/// `table[ids] + positions[:seq]`, a table of 4 and positions of 3 rows.
fn session() -> Session {
    Session::new(model()).unwrap()
}

fn model() -> Model {
    let [ids, table, positions, zero, one, length, slice, x, y] = std::array::from_fn(|i| ValueId::new(i as u32));
    let floats = |rows: usize| {
        let data: Vec<u8> = (0..rows * 2).flat_map(|i| (i as f32).to_le_bytes()).collect();
        Tensor { dtype: DType::F32, shape: vec![rows, 2], data: data.into() }
    };
    let dims = ["batch", "seq"].map(|s| PortDim::Symbol(s.into()));
    let port = |name: &str, value, dtype, dims| Port { name: name.into(), value, dtype, dims };
    let node = |name: &str, op, inputs: &[ValueId], output| Node {
        op,
        inputs: inputs.iter().copied().map(Some).collect(),
        outputs: vec![output],
        name: name.into(),
    };
    Model {
        inputs: vec![port("ids", ids, DType::I64, Some(dims.to_vec()))],
        outputs: vec![port("y", y, DType::F32, None)],
        constants: [
            (table, floats(4)),
            (positions, floats(3)),
            (zero, Tensor::vector_i64(&[0])),
            (one, Tensor::vector_i64(&[1])),
        ]
        .into_iter()
        .collect(),
        nodes: vec![
            node("length", Op::Shape { start: 1, end: 2 }, &[ids], length),
            node("slice", Op::Slice, &[positions, zero, length], slice),
            node("words", Op::Gather { axis: 0 }, &[table, ids], x),
            node("sum", Op::Binary(fourlane_graph::ir::Binary::Add), &[x, slice], y),
        ],
        value_count: 9,
    }
}

fn run(session: &mut Session, name: &str, shape: &[usize], data: Data) -> Result<Vec<f32>, Error> {
    let outputs = session.run(&[(name, TensorView { shape, data })])?;
    Ok(outputs.get("y").and_then(|y| y.data.as_f32()).unwrap_or_default().to_vec())
}

#[test]
fn every_mistake_is_named_and_survived() {
    let mut session = session();
    let long = [0; 4];
    let mistakes: [(&str, &[usize], Data, &str); 8] = [
        ("id", &[1, 2], Data::I64(&[0, 1]), "the model has no input 'id'; its inputs are 'ids'"),
        ("ids", &[1, 2], Data::F32(&[0.0, 1.0]), "input 'ids' is float32, but the model wants int64"),
        ("ids", &[2], Data::I64(&[0, 1]), "input 'ids' has shape [2], but the model wants [batch, seq]"),
        ("ids", &[1, 3], Data::I64(&[0, 1]), "input 'ids' has shape [1, 3], but its data has 2 elements"),
        ("ids", &[0, 3], Data::I64(&[]), "input 'ids' has shape [0, 3], but every dimension must be at least 1"),
        ("ids", &[1, 4], Data::I64(&long), "input 'ids' has shape [1, 4], but 'seq' can be 3 at most (node 'sum')"),
        ("ids", &[1, 2], Data::I64(&[0, 4]), "index 4 is outside the table of 4 rows at node 'words'"),
        ("ids", &[usize::MAX, 2], Data::I64(&[0, 4]), "has shape"),
    ];
    for (name, shape, data, message) in mistakes {
        let error = run(&mut session, name, shape, data).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        // -1 is the last row, as in ONNX.
        assert_eq!(run(&mut session, "ids", &[1, 2], Data::I64(&[1, -1])).unwrap(), [2.0, 4.0, 8.0, 10.0]);
    }
    assert!(matches!(session.run(&[]).err(), Some(Error::MissingInput { .. })));
    assert_eq!(session.max_len("ids", 1), Some(3));
}

/// Whatever number of texts: that it cannot be had is no fault of the model.
#[test]
fn more_than_can_be_addressed_is_out_of_memory() {
    let session = session();
    for batch in [1 << (usize::BITS - 5), 1 << (usize::BITS - 2), usize::MAX / 2] {
        let error = session.shape_report(&[("batch", batch), ("seq", 3)]).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { bytes } if bytes > batch as u64), "{batch}: {error}");
    }
}

#[test]
fn sessions_do_not_know_of_each_other() {
    let (mut a, mut b) = (session(), session());
    let first = run(&mut a, "ids", &[1, 1], Data::I64(&[3])).unwrap();
    run(&mut b, "ids", &[2, 2], Data::I64(&[0, 1, 2, 3])).unwrap();
    assert_eq!(run(&mut a, "ids", &[1, 1], Data::I64(&[3])).unwrap(), first);
}

#[test]
fn more_shapes_than_plans_are_kept() {
    let mut session = session();
    for batch in (1..200).chain(1..3) {
        let ids = vec![1; batch];
        assert_eq!(run(&mut session, "ids", &[batch, 1], Data::I64(&ids)).unwrap(), [2.0, 4.0].repeat(batch));
    }
}

#[cfg(not(feature = "threads"))]
#[test]
fn threads_need_their_feature() {
    let options = |threads| fourlane_graph::Options { threads, ..Default::default() };
    assert!(Session::with_options(model(), options(1)).is_ok());
    let error = Session::with_options(model(), options(2)).err().unwrap().to_string();
    assert!(
        error.starts_with("a session cannot have 2 threads of its own: ") && error.contains("'threads'"),
        "{error}"
    );
}
