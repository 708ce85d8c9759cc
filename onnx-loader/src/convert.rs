//! A decoded file to a model: each node in its turn through its converter, ports with their types.
//!
//! Constants are decoded when something first reads them, so unused ones cost nothing. Nodes that cannot be converted
//! are collected, with values standing in for their outputs, so that all of them can be reported.

use crate::branches;
use crate::builder::{Builder, Fact};
use crate::error::{LoadError, Reason, Reject, UnsupportedOperator};
use crate::external::ExternalData;
use crate::names::{Maker, Name, Names};
use crate::ops;
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto};
use crate::proto::{ValueInfoProto, data_type};
use crate::reader::NodeReader;
use crate::tensor;
use fourlane_graph::ir::{DType, Model, Port, PortDim, ValueId};

/// Takes tensors out of the file as it reads them.
pub(crate) fn convert(file: &mut ModelProto, external: &dyn ExternalData) -> Result<Model, LoadError> {
    let graph = file.graph.as_mut().ok_or(LoadError::NotOnnx("it has no graph"))?;
    branches::inline(graph);
    let mut names = Names::of(graph)?;
    let order = std::mem::take(&mut names.order);
    let GraphProto { node, initializer, input, output, .. } = graph;
    let standard = file.opset_import.iter().find(|opset| standard_name(&opset.domain).is_empty());
    let mut loader = Loader {
        builder: Builder::new(external),
        names,
        initializers: initializer,
        unsupported: Vec::new(),
        // A file without operator sets is from before they existed, when there was one.
        opset: standard.map_or(1, |opset| opset.version),
    };
    for port in input {
        loader.input(port)?;
    }
    for index in order {
        if let Some(node) = node.get_mut(index) {
            loader.node(node)?;
        }
    }
    if !loader.unsupported.is_empty() {
        return Err(LoadError::UnsupportedOperators(loader.unsupported));
    }
    for port in output {
        loader.output(port)?;
    }
    Ok(loader.builder.model)
}

/// ONNX's own operators have two names for their domain.
fn standard_name(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

struct Loader<'a> {
    builder: Builder<'a>,
    names: Names,
    /// Emptied as they are read.
    initializers: &'a mut [TensorProto],
    unsupported: Vec<UnsupportedOperator>,
    /// Version of ONNX's own operators.
    opset: i64,
}

impl Loader<'_> {
    fn input(&mut self, info: &ValueInfoProto) -> Result<(), LoadError> {
        let Some(Name { maker: Maker::Input, .. }) = self.names.get(&info.name) else { return Ok(()) };
        let error = |problem: String| LoadError::Port { which: "input", name: info.name.clone(), problem };
        let Some(tensor) = info.tensor() else { return Err(error("is no tensor".into())) };
        let dtype = port_dtype(tensor.elem_type).map_err(error)?;
        let shape = tensor.shape.as_ref();
        let value = self.builder.value(Fact { dtype: Some(dtype.runtime()), rank: shape.map(|shape| shape.dim.len()) });
        let dims = shape.map(|shape| port_dims(&info.name, shape));
        self.builder.model.inputs.push(Port { name: info.name.clone(), value, dtype, dims });
        self.names.set_value(&info.name, value);
        Ok(())
    }

    fn output(&mut self, info: &ValueInfoProto) -> Result<(), LoadError> {
        let error = |problem: String| LoadError::Port { which: "output", name: info.name.clone(), problem };
        let value = match self.resolve(&info.name) {
            Ok(value) => value,
            Err(reject) => {
                return Err(match reject.reason() {
                    Reason::Broken(error) => error,
                    _ => error("is a constant of a type that is not supported".into()),
                });
            }
        };
        let tensor = info.tensor();
        let dtype = match tensor.map(|t| t.elem_type) {
            Some(code) if code != 0 => port_dtype(code).map_err(error)?,
            _ => self.builder.fact(value).dtype.unwrap_or(DType::F32),
        };
        let dims = tensor.and_then(|t| t.shape.as_ref()).map(|shape| port_dims(&info.name, shape));
        self.builder.model.outputs.push(Port { name: info.name.clone(), value, dtype, dims });
        Ok(())
    }

    /// The value of a name; a constant is decoded here.
    fn resolve(&mut self, name: &str) -> Result<ValueId, Reject> {
        let value = match self.names.get(name) {
            Some(Name { value: Some(value), .. }) => return Ok(*value),
            Some(Name { maker: Maker::Initializer(index), .. }) => {
                let Some(proto) = self.initializers.get_mut(*index) else { return Err(Reason::Operator.into()) };
                let value = self.builder.constant_of(proto)?;
                *proto = TensorProto::default();
                value
            }
            // That every name has a maker, and that it comes before, was checked.
            _ => return Err(Reason::Operator.into()),
        };
        self.names.set_value(name, value);
        Ok(value)
    }

    fn node(&mut self, node: &mut NodeProto) -> Result<(), LoadError> {
        self.builder.node = node.label().into();
        let Err(reject) = self.convert(node) else { return Ok(()) };
        let reason = match reject.reason() {
            Reason::Broken(error) => return Err(error),
            Reason::Operator => Some(String::new()),
            Reason::Form(reason) => Some(reason),
            Reason::Elements { dtype, tensor } => {
                self.builder.node += &format!(" (tensor {tensor})");
                Some(format!("of {dtype} elements"))
            }
            Reason::Unknown(reason) => self.unsupported.is_empty().then(|| reason.into()),
        };
        if let Some(reason) = reason {
            self.reject(node, reason);
        }
        // Values of which nothing is known stand in for the outputs, so that the rest of the graph is looked at too.
        for name in &node.output {
            let value = self.builder.value(Fact::default());
            self.names.set_value(name, value);
        }
        Ok(())
    }

    fn convert(&mut self, node: &mut NodeProto) -> Result<(), Reject> {
        let NodeProto { input, output, op_type, attribute, domain, .. } = node;
        let mut inputs = Vec::with_capacity(input.len());
        let mut bad_constant = None;
        for name in input {
            if name.is_empty() {
                inputs.push(None);
                continue;
            }
            let value = match self.resolve(name).map_err(Reject::reason) {
                Ok(value) => value,
                Err(Reason::Broken(error)) => return Err(error.into()),
                Err(reason) => {
                    bad_constant = Some(reason);
                    self.builder.value(Fact::default())
                }
            };
            // Others know nothing of bytes with two integers in them.
            let knows = matches!(op_type.as_str(), "DequantizeLinear" | "GatherBlockQuantized");
            inputs.push(Some(if knows { value } else { self.builder.unpacked(value) }));
        }
        let mut reader = NodeReader::new(self.opset, &mut inputs, output.len(), attribute);
        let first = ops::convert(standard_name(domain), op_type, &mut reader, &mut self.builder);
        let values = match (reader.finish(first).map_err(Reject::reason), bad_constant) {
            // That an operator does not exist is the better reason.
            (Err(Reason::Operator), _) => return Err(Reason::Operator.into()),
            (_, Some(reason)) | (Err(reason), None) => return Err(reason.into()),
            (Ok(values), None) => values,
        };
        for (index, name) in output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let known = self.names.get(name);
            match values.get(index).copied().flatten() {
                Some(value) => {
                    if let (None, Some(rank)) = (self.builder.fact(value).rank, known.and_then(|name| name.rank)) {
                        self.builder.set_rank(value, rank);
                    }
                    self.names.set_value(name, value);
                }
                None if known.is_some_and(|name| name.is_read) => return Err(format!("with output {index}").into()),
                None => {}
            }
        }
        Ok(())
    }

    fn reject(&mut self, node: &NodeProto, reason: String) {
        let (domain, op_type) = (standard_name(&node.domain), &node.op_type);
        let operator = if domain.is_empty() { op_type.clone() } else { format!("{domain}:{op_type}") };
        let node = self.builder.node.clone();
        let known = self.unsupported.iter_mut().find(|u| u.operator == operator && u.reason == reason);
        match known {
            Some(known) => {
                known.count += 1;
                if known.nodes.len() < UnsupportedOperator::NAMES {
                    known.nodes.push(node);
                }
            }
            None => self.unsupported.push(UnsupportedOperator { operator, reason, count: 1, nodes: vec![node] }),
        }
    }
}

/// The type in which the outside hands over elements: that of the file, where it exists here.
fn port_dtype(code: i32) -> Result<DType, String> {
    match code {
        data_type::DOUBLE => Ok(DType::F64),
        data_type::INT4 | data_type::UINT4 => Err(format!("holds {}, which is for constants", data_type::name(code))),
        _ => tensor::dtype(code).ok_or_else(|| format!("holds {}, which is not supported", data_type::name(code))),
    }
}

/// A dimension without a name gets one of its own.
fn port_dims(port: &str, shape: &TensorShapeProto) -> Vec<PortDim> {
    let mut dims = Vec::with_capacity(shape.dim.len());
    for (axis, dim) in shape.dim.iter().enumerate() {
        let fixed = dim.dim_value.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        dims.push(match (fixed, &dim.dim_param) {
            (Some(n), _) => PortDim::Fixed(n),
            (None, Some(name)) if !name.is_empty() => PortDim::Symbol(name.clone()),
            _ => PortDim::Symbol(format!("{port}[{axis}]")),
        });
    }
    dims
}
