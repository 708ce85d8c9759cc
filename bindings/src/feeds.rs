//! What a model wants to be fed with, and feeding it: which inputs it has, their types and fixed sizes, its output.

use crate::error::Error;
use crate::tokenizer::Encoding;
use fourlane_graph::ir::{DType, PortDim};
use fourlane_graph::{Data, Session, TensorView};

/// What an input says about the tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Ids,
    Mask,
    Types,
    Positions,
}

/// Names that exporters give.
const ROLES: [(&str, Role); 4] = [
    ("input_ids", Role::Ids),
    ("attention_mask", Role::Mask),
    ("token_type_ids", Role::Types),
    ("position_ids", Role::Positions),
];

/// Limits of a batch, unless the model has one: texts, and tokens with padding.
const MAX_ROWS: usize = 32;
const MAX_TOKENS: usize = 4096;

/// All inputs of a run, by name.
type Inputs<'a> = [(&'a str, TensorView<'a>)];

/// The inputs and the output of a text classifier.
pub(crate) struct Feeds {
    inputs: Vec<(&'static str, Role, DType)>,
    output: String,
    /// How many texts a run takes, if it takes no other number.
    batch: Option<usize>,
    /// How many tokens each text has, if it can have no other number.
    tokens: Option<usize>,
    /// Whether texts in a batch would change each other's outputs.
    alone: bool,
}

impl Feeds {
    /// Recognises the model's inputs by name, and its output: `logits`, or the only one, or the first of two axes.
    pub fn new(session: &Session) -> Result<Self, Error> {
        let (mut batch, mut tokens) = (None, None);
        let mut inputs = Vec::new();
        for port in session.inputs() {
            let Some(&(name, role)) = ROLES.iter().find(|(name, _)| *name == port.name) else {
                return Err(Error::UnknownInput { name: port.name.clone() });
            };
            if !matches!(port.dtype, DType::I64 | DType::I32) {
                return Err(Error::InputType { name: port.name.clone(), found: port.dtype.name() });
            }
            let fixed = |dim: &PortDim| match dim {
                PortDim::Fixed(size) => Some(*size),
                PortDim::Symbol(_) => None,
            };
            match port.dims.as_deref() {
                Some([rows, columns]) if fixed(rows) != Some(0) && fixed(columns) != Some(0) => {
                    batch = batch.or(fixed(rows));
                    tokens = tokens.or(fixed(columns));
                }
                _ => return Err(Error::InputShape { name: port.name.clone() }),
            }
            inputs.push((name, role, port.dtype));
        }
        if !inputs.iter().any(|(_, role, _)| *role == Role::Ids) {
            return Err(Error::NoInputIds);
        }
        let outputs = session.outputs();
        let has_two_axes = |dims: &Option<Vec<PortDim>>| dims.as_ref().is_some_and(|dims| dims.len() == 2);
        let output = outputs
            .iter()
            .find(|port| port.name == "logits")
            .or(if outputs.len() == 1 { outputs.first() } else { None })
            .or_else(|| outputs.iter().find(|port| has_two_axes(&port.dims)))
            .ok_or(Error::NoLogits)?;
        Ok(Feeds { inputs, output: output.name.clone(), batch, tokens, alone: session.shares_ranges() })
    }

    /// The most tokens that the model takes, if it says.
    pub fn max_length(&self, session: &Session) -> Option<usize> {
        self.inputs.iter().filter_map(|(name, ..)| session.max_len(name, 1)).min()
    }

    /// How many texts to run at once, of which the longest has so many tokens: at least one.
    pub fn rows(&self, longest: usize) -> usize {
        let columns = self.columns(longest);
        if self.alone { 1 } else { self.batch.unwrap_or((MAX_TOKENS / columns).clamp(1, MAX_ROWS)) }
    }

    /// How many texts a batch is filled up to.
    fn filled(&self, texts: usize) -> usize {
        self.batch.unwrap_or(texts).max(texts)
    }

    /// How many tokens each text is filled up to.
    fn columns(&self, longest: usize) -> usize {
        // No token at all, as of a tokenizer without special tokens, becomes one of padding: models want at least one.
        self.tokens.unwrap_or(longest).max(longest).max(1)
    }

    /// Runs a batch of at most [`Feeds::rows`] texts: the outputs of each.
    pub fn run(&self, session: &mut Session, texts: &[&Encoding], pad: i64) -> Result<Vec<Vec<f32>>, Error> {
        let mut results = Vec::new();
        self.with(texts, pad, &mut |views| {
            let outputs = session.run(views)?;
            let output = outputs.get(&self.output).ok_or(Error::NoLogits)?;
            match (output.shape, output.data) {
                ([batch, labels], Data::F32(values)) if *batch == self.filled(texts.len()) && *labels > 0 => {
                    for values in values.chunks(*labels).take(texts.len()) {
                        results.push(values.to_vec());
                    }
                    Ok(())
                }
                _ => Err(Error::NoLogits),
            }
        })?;
        Ok(results)
    }

    /// Gives a batch, as the inputs of the model, to `run`.
    pub fn with(
        &self,
        texts: &[&Encoding],
        pad: i64,
        run: &mut dyn FnMut(&Inputs<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let rows = self.filled(texts.len());
        let columns = self.columns(texts.iter().map(|text| text.ids.len()).max().unwrap_or(0));
        // A fixed batch that texts do not fill is filled with the first once more.
        let row = |index: usize| texts.get(index).or(texts.first()).copied();
        let fill = |role: Role| -> Vec<i64> {
            let mut values = Vec::with_capacity(rows * columns);
            for text in (0..rows).filter_map(row) {
                let end = values.len() + columns;
                match role {
                    Role::Ids => values.extend_from_slice(&text.ids),
                    Role::Mask => values.resize(values.len() + text.ids.len(), 1),
                    Role::Types => values.extend_from_slice(&text.type_ids),
                    Role::Positions => values.extend(0..columns as i64),
                }
                values.resize(end, if role == Role::Ids { pad } else { 0 });
            }
            values
        };
        let (mut wide, mut narrow) = (Vec::new(), Vec::new());
        for (_, role, dtype) in &self.inputs {
            let values = fill(*role);
            let mut short = Vec::new();
            if *dtype == DType::I32 {
                values.iter().for_each(|&value| short.push(value as i32));
            }
            wide.push(values);
            narrow.push(short);
        }
        let shape = [rows, columns];
        let mut views: Vec<(&str, TensorView<'_>)> = Vec::new();
        for (i, (name, _, dtype)) in self.inputs.iter().enumerate() {
            let data = if *dtype == DType::I32 { Data::I32(&narrow[i]) } else { Data::I64(&wide[i]) };
            views.push((name, TensorView { shape: &shape, data }));
        }
        run(&views)
    }
}
