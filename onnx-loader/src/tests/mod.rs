//! Models built message by message, one for each rule that a converter follows.
//!
//! [`text`] writes a converted model as a person would, one node a line, so that a test shows what becomes of what.

mod attention;
mod branches;
mod convolution;
mod external;
mod feed;
mod forms;
mod fused;
mod graphs;
mod qlinear;
mod quantize;
mod robust;
mod rotary;
mod tensors;

use crate::proto::*;
use crate::{LoadError, NoExternalData, load};
use fourlane_graph::ir::{DType, Model, ValueId};
use fourlane_graph::{Data, Options, Session, TensorView};
use prost::Message;
use std::collections::HashMap;

/// A graph with an opset, to be filled.
fn file(opset: i64) -> ModelProto {
    let set = |domain: &str, version| OperatorSetId { domain: domain.into(), version };
    ModelProto {
        ir_version: 8,
        graph: Some(GraphProto::default()),
        opset_import: vec![set("", opset), set("com.microsoft", 1)],
        ..Default::default()
    }
}

impl ModelProto {
    fn graph_mut(&mut self) -> &mut GraphProto {
        self.graph.get_or_insert_default()
    }

    /// An f32 input; dimensions that are numbers are fixed.
    fn input(self, name: &str, dims: &[&str]) -> Self {
        self.typed_input(name, data_type::FLOAT, dims)
    }

    fn typed_input(mut self, name: &str, elem_type: i32, dims: &[&str]) -> Self {
        let port = value_info(name, elem_type, Some(dims));
        self.graph_mut().input.push(port);
        self
    }

    fn output(mut self, name: &str) -> Self {
        let port = ValueInfoProto { name: name.into(), r#type: None };
        self.graph_mut().output.push(port);
        self
    }

    fn initializer(mut self, tensor: TensorProto) -> Self {
        self.graph_mut().initializer.push(tensor);
        self
    }

    /// A node from `domain:Type` and space-separated names; `_` is an absent input or output.
    fn node(mut self, op: &str, inputs: &str, outputs: &str, attribute: Vec<AttributeProto>) -> Self {
        let names = |list: &str| list.split_whitespace().map(|n| if n == "_" { "" } else { n }.into()).collect();
        let (domain, op_type) = op.split_once(':').unwrap_or(("", op));
        let name = format!("n{}", self.graph_mut().node.len());
        let node = NodeProto {
            input: names(inputs),
            output: names(outputs),
            name,
            op_type: op_type.into(),
            attribute,
            domain: domain.into(),
        };
        self.graph_mut().node.push(node);
        self
    }

    fn load(&self) -> Result<Model, LoadError> {
        load(self.encode_to_vec().into(), &NoExternalData)
    }

    /// The converted model as text.
    fn text(&self) -> String {
        match self.load() {
            Ok(model) => text(&model),
            Err(error) => panic!("{error}"),
        }
    }

    /// The message of the error that loading ends in.
    fn error(&self) -> String {
        match self.load() {
            Ok(model) => panic!("it loaded:\n{}", text(&model)),
            Err(error) => error.to_string(),
        }
    }
}

fn value_info(name: &str, elem_type: i32, dims: Option<&[&str]>) -> ValueInfoProto {
    let dim = |text: &&str| match text.parse() {
        Ok(n) => DimensionProto { dim_value: Some(n), dim_param: None },
        Err(_) => DimensionProto { dim_value: None, dim_param: Some((*text).into()) },
    };
    let shape = dims.map(|dims| TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// A file of one operator with f32 inputs `x`, `y`, `z` of rank 3 as far as it reads them, and output `out`.
fn single(opset: i64, op: &str, inputs: &str, attributes: Vec<AttributeProto>) -> ModelProto {
    let mut model = file(opset).output("out");
    for name in ["x", "y", "z"].iter().filter(|name| inputs.split_whitespace().any(|i| i == **name)) {
        model = model.input(name, &["a", "b", "8"]);
    }
    model.node(op, inputs, "out", attributes)
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: name.into(), kind, ..Default::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i: Some(i), ..attribute(name, attribute_kind::INT) }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f: Some(f), ..attribute(name, attribute_kind::FLOAT) }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.into(), ..attribute(name, attribute_kind::INTS) }
}

fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto { s: Some(s.to_owned().into()), ..attribute(name, attribute_kind::STRING) }
}

fn with_tensor(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(t), ..attribute(name, attribute_kind::TENSOR) }
}

fn floats_tensor(name: &str, dims: &[i64], float_data: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.into(),
        data_type: data_type::FLOAT,
        float_data: float_data.into(),
        ..Default::default()
    }
}

fn ints_tensor(name: &str, dims: &[i64], int64_data: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.into(),
        data_type: data_type::INT64,
        int64_data: int64_data.into(),
        ..Default::default()
    }
}

fn zeros(name: &str, data_type: i32, dims: &[i64], bytes: usize) -> TensorProto {
    let raw_data = Some(vec![0; bytes]);
    TensorProto { name: name.into(), dims: dims.into(), data_type, raw_data, ..Default::default() }
}

/// One line a node, `%1 = Op(attributes) x [2, 3] %0`, and the outputs. Short constants are written out.
fn text(model: &Model) -> String {
    let mut names: HashMap<ValueId, String> = model.inputs.iter().map(|p| (p.value, p.name.clone())).collect();
    for &(value, ref tensor) in &model.constants {
        let elements = match tensor.dtype {
            _ if tensor.len() > 4 => format!("{}{:?}", tensor.dtype.name(), tensor.shape),
            DType::F32 | DType::F16 | DType::BF16 => format!("{:?}", tensor.floats().unwrap()),
            _ => format!("{:?}", tensor.integers().unwrap()),
        };
        let scalar = tensor.shape.is_empty();
        names.insert(value, if scalar { elements.trim_matches(['[', ']']).into() } else { elements });
    }
    let mut lines = Vec::new();
    let mut count = 0;
    for node in &model.nodes {
        let op = format!("{:?}", node.op);
        let inputs = node.inputs.iter().map(|input| input.map_or("_", |v| names[&v].as_str()));
        let inputs: String = inputs.map(|name| format!(" {name}")).collect();
        let outputs: Vec<String> = (0..node.outputs.len()).map(|i| format!("%{}", count + i)).collect();
        lines.push(format!("{} = {op}{inputs}", outputs.join(" ")));
        count += outputs.len();
        names.extend(node.outputs.iter().copied().zip(outputs));
    }
    let outputs: String = model.outputs.iter().map(|port| format!(" {}", names[&port.value])).collect();
    lines.push(format!("->{outputs}"));
    lines.join("\n")
}

/// The f32 output of a model for its f32 input `x`, with and without passes, which must agree.
#[track_caller]
fn run(file: &ModelProto, shape: &[usize], x: &[f32]) -> Vec<f32> {
    let [optimized, literal] = [true, false].map(|optimize| {
        let options = Options { optimize, ..Options::default() };
        let mut session = Session::with_options(file.load().unwrap(), options).unwrap();
        let outputs = session.run(&[("x", TensorView { shape, data: Data::F32(x) })]).unwrap();
        outputs.get("out").and_then(|out| out.data.as_f32()).expect("an f32 output").to_vec()
    });
    assert_eq!(optimized, literal);
    optimized
}

/// Compares a model's text with lines whose indentation does not count.
#[track_caller]
fn becomes(file: &ModelProto, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(file.text(), expected.join("\n"));
}
