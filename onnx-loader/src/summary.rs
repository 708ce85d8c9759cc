//! What a file says of itself, for people: who wrote it, which operators, what its weights are stored as.
//!
//! A [`Model`](fourlane_graph::ir::Model) has lost this, and a file that does not load has it still.

use crate::error::LoadError;
use crate::proto::{ModelProto, TensorProto, data_type};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;

/// Facts about an ONNX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Program that wrote the file, with its version: `pytorch 2.7.0`.
    pub producer: String,
    /// Version of the file format.
    pub ir_version: i64,
    /// Operator sets: domain (empty for ONNX's own) and version.
    pub opsets: Vec<(String, i64)>,
    /// Operators and the number of nodes, by name: `MatMul`, `com.microsoft:Attention`.
    pub operators: Vec<(String, usize)>,
    /// Initializers by element type.
    pub weights: Vec<Weights>,
}

/// The initializers of one element type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// Element type as ONNX calls it.
    pub dtype: &'static str,
    /// How many tensors.
    pub tensors: usize,
    /// How many elements in all of them.
    pub elements: u64,
    /// How many of the tensors are in other files.
    pub external: usize,
}

/// Reads the facts about a file. Nothing but its protobuf structure is checked.
///
/// # Errors
///
/// [`LoadError::NotOnnx`] if the bytes are not an ONNX file.
pub fn summarize(model: &Bytes) -> Result<Summary, LoadError> {
    let file = ModelProto::decode(&model[..])?;
    let graph = file.graph.ok_or(LoadError::NotOnnx("it has no graph"))?;

    let mut operators = BTreeMap::new();
    for node in graph.node {
        let name = match node.domain.as_str() {
            "" | "ai.onnx" => node.op_type,
            domain => format!("{domain}:{}", node.op_type),
        };
        *operators.entry(name).or_insert(0) += 1;
    }
    let mut weights = BTreeMap::new();
    for tensor in &graph.initializer {
        let new = Weights { dtype: data_type::name(tensor.data_type), tensors: 0, elements: 0, external: 0 };
        let entry = weights.entry(tensor.data_type).or_insert(new);
        entry.tensors += 1;
        entry.elements = entry.elements.saturating_add(elements(tensor));
        entry.external += usize::from(tensor.data_location == 1);
    }
    Ok(Summary {
        producer: format!("{} {}", file.producer_name, file.producer_version).trim().into(),
        ir_version: file.ir_version,
        opsets: file.opset_import.into_iter().map(|o| (o.domain, o.version)).collect(),
        operators: operators.into_iter().collect(),
        weights: weights.into_values().collect(),
    })
}

fn elements(tensor: &TensorProto) -> u64 {
    tensor.dims.iter().fold(1, |n: u64, &dim| n.saturating_mul(u64::try_from(dim).unwrap_or(0)))
}
