//! One node as its converter sees it: inputs and attributes to be taken.
//!
//! A converter *takes* what it understands. What is left afterwards, an attribute of a newer opset or a past-key input
//! of an attention, is something it does not understand, and ignoring it would compute something else than the model
//! says. So [`NodeReader::finish`] rejects the node. No converter needs a list of the forms it does not know.

use crate::error::Reject;
use crate::proto::{AttributeProto, TensorProto, attribute_kind};
use fourlane_graph::ir::ValueId;

pub(crate) struct NodeReader {
    /// Version of the operator set that the node is written in.
    pub opset: i64,
    /// How many outputs the node lists.
    pub output_count: usize,
    inputs: Vec<Option<ValueId>>,
    attributes: Vec<AttributeProto>,
    /// So many of the attributes, at the front, have been taken.
    taken: usize,
}

impl NodeReader {
    pub fn new(opset: i64, inputs: Vec<Option<ValueId>>, output_count: usize, attributes: Vec<AttributeProto>) -> Self {
        Self { opset, output_count, inputs, attributes, taken: 0 }
    }

    pub fn input(&mut self, index: usize) -> Result<ValueId, Reject> {
        self.optional(index).ok_or_else(|| format!("without input {index}").into())
    }

    pub fn optional(&mut self, index: usize) -> Option<ValueId> {
        self.inputs.get_mut(index)?.take()
    }

    /// All inputs, of which a variadic operator has at least one.
    pub fn inputs(&mut self) -> Result<Vec<ValueId>, Reject> {
        if self.inputs.is_empty() {
            return Err("without inputs".into());
        }
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }

    /// The attribute of this name, which is taken from then on.
    fn find(&mut self, name: &str) -> Option<&mut AttributeProto> {
        let index = self.attributes.iter().skip(self.taken).position(|a| a.name == name)?;
        self.attributes.swap(self.taken, self.taken + index);
        self.taken += 1;
        self.attributes.get_mut(self.taken - 1)
    }

    fn take(&mut self, name: &str, kind: i32) -> Result<Option<&mut AttributeProto>, Reject> {
        match self.find(name) {
            Some(attribute) if attribute.kind != kind && attribute.kind != attribute_kind::UNDEFINED => {
                Err(format!("with attribute '{name}' of another type").into())
            }
            attribute => Ok(attribute),
        }
    }

    pub fn int(&mut self, name: &str) -> Result<Option<i64>, Reject> {
        Ok(self.take(name, attribute_kind::INT)?.map(|a| a.i.unwrap_or_default()))
    }

    pub fn int_or(&mut self, name: &str, default: i64) -> Result<i64, Reject> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool, Reject> {
        Ok(self.int_or(name, default.into())? != 0)
    }

    /// An attribute of which only one value is understood, which is also the default.
    pub fn only(&mut self, name: &str, value: i64) -> Result<(), Reject> {
        match self.int_or(name, value)? {
            found if found == value => Ok(()),
            found => Err(format!("with {name}={found}").into()),
        }
    }

    pub fn float(&mut self, name: &str) -> Result<Option<f32>, Reject> {
        Ok(self.take(name, attribute_kind::FLOAT)?.map(|a| a.f.unwrap_or_default()))
    }

    pub fn float_or(&mut self, name: &str, default: f32) -> Result<f32, Reject> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    pub fn ints(&mut self, name: &str) -> Result<Option<Vec<i64>>, Reject> {
        Ok(self.take(name, attribute_kind::INTS)?.map(|a| std::mem::take(&mut a.ints)))
    }

    pub fn floats(&mut self, name: &str) -> Result<Option<Vec<f32>>, Reject> {
        Ok(self.take(name, attribute_kind::FLOATS)?.map(|a| std::mem::take(&mut a.floats)))
    }

    /// A string; the empty one if it is absent.
    pub fn string(&mut self, name: &str) -> Result<String, Reject> {
        let bytes = self.take(name, attribute_kind::STRING)?.and_then(|a| a.s.take()).unwrap_or_default();
        String::from_utf8(bytes.into()).map_err(|_| "with an attribute that is no text".into())
    }

    pub fn tensor(&mut self, name: &str) -> Result<Option<TensorProto>, Reject> {
        Ok(self.take(name, attribute_kind::TENSOR)?.and_then(|a| a.t.take()))
    }

    /// Drops attributes that say nothing about the result.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.find(name);
        }
    }

    /// Rejects what has not been taken.
    pub fn finish(self) -> Result<(), Reject> {
        if let Some(attribute) = self.attributes.get(self.taken) {
            return Err(format!("with attribute '{}'", attribute.name).into());
        }
        match self.inputs.iter().position(Option::is_some) {
            Some(index) => Err(format!("with input {index}").into()),
            None => Ok(()),
        }
    }
}
