//! One node as its converter sees it: inputs and attributes to be taken.
//!
//! A converter *takes* what it understands. What is left afterwards, an attribute of a newer opset or a past-key input
//! of an attention, is something it does not understand, and ignoring it would compute something else than the model
//! says. So [`NodeReader::finish`] rejects the node. No converter needs a list of the forms it does not know.
//!
//! Nor does it look after each step whether something was missing: the first problem is kept here, what cannot be taken
//! is stood in for, and the node is rejected in the end.

use crate::builder::Builder;
use crate::error::{Reason, Reject};
use crate::proto::{AttributeProto, TensorProto, attribute_kind};
use fourlane_graph::ir::{DType, ValueId};

pub(crate) struct NodeReader<'n> {
    /// Version of the operator set that the node is written in.
    pub opset: i64,
    /// How many outputs the node lists.
    pub output_count: usize,
    /// The values of outputs after the first; one that does not exist here is `None` or beyond the end.
    pub more: Vec<Option<ValueId>>,
    inputs: &'n mut [Option<ValueId>],
    attributes: &'n mut [AttributeProto],
    /// So many of the attributes, at the front, have been taken.
    taken: usize,
    /// The first thing that was wrong.
    problem: Option<Reject>,
}

/// Stands in for an input that is missing; the model has no value of this index.
const NOTHING: ValueId = ValueId::new(u32::MAX);

impl<'n> NodeReader<'n> {
    pub fn new(
        opset: i64,
        inputs: &'n mut [Option<ValueId>],
        output_count: usize,
        attributes: &'n mut [AttributeProto],
    ) -> Self {
        Self { opset, output_count, more: Vec::new(), inputs, attributes, taken: 0, problem: None }
    }

    /// Rejects the node, unless it is rejected already. Gives `None`, for converters to return.
    pub fn reject<T>(&mut self, reason: &'static str) -> Option<T> {
        self.refuse(reason.into());
        None
    }

    /// As [`NodeReader::reject`], for a reason that has to be put together.
    pub fn reject_for<T>(&mut self, reason: String) -> Option<T> {
        self.refuse(reason.into());
        None
    }

    #[cold]
    #[inline(never)]
    fn refuse(&mut self, problem: Reject) {
        self.problem.get_or_insert(problem);
    }

    /// The value; without one, its problem is the node's.
    pub fn check<T>(&mut self, result: Result<T, Reject>) -> Option<T> {
        result.map_err(|problem| self.refuse(problem)).ok()
    }

    /// The rank of a value, where a conversion depends on it.
    pub fn rank(&mut self, b: &Builder<'_>, value: ValueId) -> Option<usize> {
        let rank = b.fact(value).rank;
        if rank.is_none() {
            self.refuse(Reason::Unknown("of a tensor whose rank the file does not tell").into());
        }
        rank
    }

    /// The element type of a value, where a conversion depends on it.
    pub fn dtype(&mut self, b: &Builder<'_>, value: ValueId) -> Option<DType> {
        let dtype = b.fact(value).dtype;
        if dtype.is_none() {
            self.refuse(Reason::Unknown("of a tensor whose type the file does not tell").into());
        }
        dtype
    }

    pub fn input(&mut self, index: usize) -> ValueId {
        self.optional(index).unwrap_or_else(|| {
            self.refuse(format!("without input {index}").into());
            NOTHING
        })
    }

    pub fn has_input(&self, index: usize) -> bool {
        self.inputs.get(index).is_some_and(Option::is_some)
    }

    pub fn optional(&mut self, index: usize) -> Option<ValueId> {
        self.inputs.get_mut(index)?.take()
    }

    /// All inputs, of which a variadic operator has at least one.
    pub fn inputs(&mut self) -> Vec<ValueId> {
        if self.inputs.is_empty() {
            self.refuse("without inputs".into());
        }
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for index in 0..self.inputs.len() {
            inputs.push(self.input(index));
        }
        inputs
    }

    /// The attribute of this name, which is taken from then on.
    fn find(&mut self, name: &str) -> Option<&mut AttributeProto> {
        let index = self.taken + self.attributes.get(self.taken..)?.iter().position(|a| a.name == name)?;
        self.attributes.swap(self.taken, index);
        self.taken += 1;
        self.attributes.get_mut(self.taken - 1)
    }

    fn take(&mut self, name: &str, kind: i32) -> Option<&mut AttributeProto> {
        let found = self.find(name)?.kind;
        if found != kind && found != attribute_kind::UNDEFINED {
            return self.reject_for(format!("with attribute '{name}' of another type"));
        }
        self.attributes.get_mut(self.taken - 1)
    }

    pub fn int(&mut self, name: &str) -> Option<i64> {
        self.take(name, attribute_kind::INT).map(|a| a.i.unwrap_or_default())
    }

    pub fn int_or(&mut self, name: &str, default: i64) -> i64 {
        self.int(name).unwrap_or(default)
    }

    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        self.int_or(name, default.into()) != 0
    }

    /// An attribute of which only one value is understood, which is also the default.
    pub fn only(&mut self, name: &str, value: i64) {
        let found = self.int_or(name, value);
        if found != value {
            self.refuse(format!("with {name}={found}").into());
        }
    }

    pub fn float(&mut self, name: &str) -> Option<f32> {
        self.take(name, attribute_kind::FLOAT).map(|a| a.f.unwrap_or_default())
    }

    pub fn float_or(&mut self, name: &str, default: f32) -> f32 {
        self.float(name).unwrap_or(default)
    }

    pub fn ints(&mut self, name: &str) -> Option<Vec<i64>> {
        self.take(name, attribute_kind::INTS).map(|a| std::mem::take(&mut a.ints))
    }

    pub fn floats(&mut self, name: &str) -> Option<Vec<f32>> {
        self.take(name, attribute_kind::FLOATS).map(|a| std::mem::take(&mut a.floats))
    }

    /// Which of these strings an attribute is. An absent one is the empty string, as the first of these.
    pub fn choice(&mut self, name: &str, choices: &[&str]) -> Option<usize> {
        let text = self.take(name, attribute_kind::STRING).and_then(|a| a.s.take()).unwrap_or_default();
        let choice = choices.iter().position(|choice| choice.as_bytes() == &text[..]);
        match (choice, std::str::from_utf8(&text)) {
            (Some(_), _) => choice,
            (None, Ok(text)) => self.reject_for(format!("with {name}='{text}'")),
            (None, Err(_)) => self.reject("with an attribute that is no text"),
        }
    }

    pub fn tensor(&mut self, name: &str) -> Option<TensorProto> {
        self.take(name, attribute_kind::TENSOR).and_then(|a| a.t.take())
    }

    /// Drops attributes that say nothing about the result.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.find(name);
        }
    }

    /// The outputs, of which the converter gave the first, if that was all of the node and it was understood.
    pub fn finish(mut self, first: Option<ValueId>) -> Result<Vec<Option<ValueId>>, Reject> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        if first.is_none() {
            return Err(Reason::Operator.into());
        }
        if let Some(attribute) = self.attributes.get(self.taken) {
            return Err(format!("with attribute '{}'", attribute.name).into());
        }
        match self.inputs.iter().position(Option::is_some) {
            Some(index) => Err(format!("with input {index}").into()),
            None => {
                self.more.insert(0, first);
                Ok(self.more)
            }
        }
    }
}
