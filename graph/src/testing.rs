//! Small models for tests, written node by node.

use crate::ir::{DType, Model, Node, Op, Port, PortDim, Tensor, ValueId};
use crate::{Data, Options, Session, TensorView};

/// Builds a model.
#[derive(Default)]
pub struct Builder(pub Model);

impl Builder {
    pub fn value(&mut self) -> ValueId {
        self.0.value_count += 1;
        ValueId::new(self.0.value_count - 1)
    }

    /// An input; dimensions that are numbers are fixed, others are symbols.
    pub fn input(&mut self, name: &str, dtype: DType, dims: &[&str]) -> ValueId {
        let value = self.value();
        let dim = |d: &&str| d.parse().map_or_else(|_| PortDim::Symbol(d.to_string()), PortDim::Fixed);
        let dims = Some(dims.iter().map(dim).collect());
        self.0.inputs.push(Port { name: name.into(), value, dtype, dims });
        value
    }

    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let value = self.value();
        self.0.constants.insert(value, tensor);
        value
    }

    pub fn floats(&mut self, shape: &[usize], data: &[f32]) -> ValueId {
        let data: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(Tensor { dtype: DType::F32, shape: shape.to_vec(), data: data.into() })
    }

    pub fn scalar(&mut self, value: f32) -> ValueId {
        self.constant(Tensor::scalar_f32(value))
    }

    pub fn integers(&mut self, values: &[i64]) -> ValueId {
        self.constant(Tensor::vector_i64(values))
    }

    /// A weight with small, different elements.
    pub fn weight(&mut self, shape: &[usize]) -> ValueId {
        let count = shape.iter().product::<usize>();
        let data: Vec<f32> = (0..count).map(|i| noise(i + self.0.value_count as usize * 1000)).collect();
        self.floats(shape, &data)
    }

    pub fn node(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.nodes(op, inputs, 1)[0]
    }

    pub fn nodes(&mut self, op: Op, inputs: &[ValueId], count: usize) -> Vec<ValueId> {
        let outputs: Vec<ValueId> = (0..count).map(|_| self.value()).collect();
        let inputs = inputs.iter().copied().map(Some).collect();
        let name = format!("node {}", self.0.nodes.len());
        self.0.nodes.push(Node { op, inputs, outputs: outputs.clone(), name });
        outputs
    }

    pub fn output(mut self, value: ValueId) -> Model {
        self.0.outputs.push(Port { name: "output".into(), value, dtype: DType::F32, dims: None });
        self.0
    }
}

/// What a pass must not change the meaning of.
pub const LITERAL: Options =
    Options { optimize: true, literal: true, fast: false, integer_mode: None, expand_halves: false, threads: 0 };

/// Numbers in -1..1 without a pattern.
pub fn noise(i: usize) -> f32 {
    let x = (i as u32).wrapping_mul(2654435761).rotate_left(13).wrapping_mul(2246822519);
    (x >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// The operators that are left after all passes.
pub fn optimized(model: &Model) -> Vec<String> {
    let mut model = model.clone();
    let options = Options { literal: is_literal(&model), ..LITERAL };
    crate::passes::run(&mut model, &options).unwrap();
    model.nodes.iter().map(|node| node.op.name()).filter(|name| name != "Dims").collect()
}

/// Whether to compare literal sessions: others quantise by the row.
fn is_literal(model: &Model) -> bool {
    model.nodes.iter().any(|node| node.op == Op::DynamicQuantizeLinear)
}

/// Runs `model` with and without passes on f32 and i64 noise of these input shapes and compares.
pub fn assert_passes_keep_meaning(model: &Model, shapes: &[&[usize]]) {
    let inputs: Vec<(Vec<f32>, Vec<i64>)> = shapes
        .iter()
        .map(|shape| {
            let floats: Vec<f32> = (0..shape.iter().product()).map(noise).collect();
            let ones = floats.iter().map(|&x| i64::from(x > -0.4)).collect();
            (floats, ones)
        })
        .collect();
    let views: Vec<(&str, TensorView)> = model
        .inputs
        .iter()
        .zip(shapes)
        .zip(&inputs)
        .map(|((port, shape), (floats, integers))| {
            let data = if port.dtype == DType::F32 { Data::F32(floats) } else { Data::I64(integers) };
            (port.name.as_str(), TensorView { shape, data })
        })
        .collect();
    let options = Options { literal: is_literal(model), ..LITERAL };
    let run = |optimize| Session::with_options(model.clone(), Options { optimize, ..options }).unwrap();
    let (mut plain, mut fast) = (run(false), run(true));
    let (plain, fast) = (plain.run(&views).unwrap(), fast.run(&views).unwrap());
    for ((_, a), (_, b)) in plain.iter().zip(fast.iter()) {
        assert_eq!(a.shape, b.shape);
        let (Some(a), Some(b)) = (a.data.as_f32(), b.data.as_f32()) else {
            assert_eq!(a.data, b.data);
            continue;
        };
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "element {i}: {a} without passes, {b} with");
        }
    }
}
