//! The promises that a model makes to everything that reads it.

use crate::error::{Error, Failure};
use crate::infer::show_sizes;
use crate::ir::{Model, ValueId};

/// Checks what every later stage relies on: ids in range, constants as long as their shapes say, operands made before use.
pub(crate) fn check(model: &Model) -> Result<(), Failure> {
    let mut made = vec![false; model.value_count as usize];
    let make = |made: &mut [bool], id: ValueId, name: &str| match made.get_mut(id.index()) {
        Some(slot) if !*slot => {
            *slot = true;
            Ok(())
        }
        _ => Err(Error::invalid(name, format!("value {} is made twice or does not exist", id.index()))),
    };
    let is_made = |made: &[bool], id: ValueId| made.get(id.index()).is_some_and(|made| *made);
    for port in &model.inputs {
        if port.dims.is_none() {
            return Err(Error::unsupported(&port.name, "an input of unknown rank"));
        }
        make(&mut made, port.value, &port.name)?;
    }
    for (id, tensor) in &model.constants {
        make(&mut made, *id, "constant")?;
        let bytes = tensor.shape.iter().try_fold(tensor.dtype.size(), |p, &d| p.checked_mul(d));
        if bytes != Some(tensor.data.len()) {
            let (len, shape) = (tensor.data.len(), show_sizes(&tensor.shape));
            return Err(Error::invalid("constant", format!("{len} bytes for shape {shape}")));
        }
    }
    for node in &model.nodes {
        if node.outputs.is_empty() {
            return Err(Error::invalid(&node.name, "it has no output"));
        }
        if node.inputs.iter().flatten().any(|id| !is_made(&made, *id)) {
            return Err(Error::invalid(&node.name, "an operand is used before it is made"));
        }
        for id in &node.outputs {
            make(&mut made, *id, &node.name)?;
        }
    }
    match model.outputs.iter().find(|port| !is_made(&made, port.value)) {
        Some(port) => Err(Error::invalid(&port.name, "this output is never made")),
        None => Ok(()),
    }
}
