//! The promises that a model makes to everything that reads it.

use crate::error::{Error, Failure};
use crate::ir::{Model, ValueId};

/// Checks what every later stage relies on: ids in range, constants as long as their shapes say, operands made before use.
pub(crate) fn check(model: &Model) -> Result<(), Failure> {
    let count = model.value_count as usize;
    let mut made = vec![false; count];
    let mut make = |id: ValueId, name: &str| match made.get_mut(id.index()) {
        Some(slot) if !*slot => {
            *slot = true;
            Ok(())
        }
        _ => Err(Error::invalid(name, format!("value {} is made twice or does not exist", id.index()))),
    };
    for port in &model.inputs {
        if port.dims.is_none() {
            return Err(Error::unsupported(&port.name, "an input of unknown rank"));
        }
        make(port.value, &port.name)?;
    }
    for (id, tensor) in &model.constants {
        make(*id, "constant")?;
        let bytes = tensor.shape.iter().try_fold(tensor.dtype.size(), |p, &d| p.checked_mul(d));
        if bytes != Some(tensor.data.len()) {
            return Err(Error::invalid(
                "constant",
                format!("{} bytes for shape {:?}", tensor.data.len(), tensor.shape),
            ));
        }
    }
    for node in &model.nodes {
        if node.outputs.is_empty() {
            return Err(Error::invalid(&node.name, "it has no output"));
        }
        for id in &node.outputs {
            make(*id, &node.name)?;
        }
    }
    let mut made = vec![false; count];
    model.inputs.iter().for_each(|port| made[port.value.index()] = true);
    model.constants.keys().for_each(|id| made[id.index()] = true);
    for node in &model.nodes {
        if node.inputs.iter().flatten().any(|id| !made.get(id.index()).is_some_and(|m| *m)) {
            return Err(Error::invalid(&node.name, "an operand is used before it is made"));
        }
        node.outputs.iter().for_each(|id| made[id.index()] = true);
    }
    match model.outputs.iter().find(|p| !made.get(p.value.index()).is_some_and(|m| *m)) {
        Some(port) => Err(Error::invalid(&port.name, "this output is never made")),
        None => Ok(()),
    }
}
