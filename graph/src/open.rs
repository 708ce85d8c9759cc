//! Models with inputs of which the file does not even say the rank, such as the one-operator models with which
//! transformers.js computes on tensors: sorts, slices, products.
//!
//! Nothing can be planned for them before a call. A call fixes the shapes of its inputs, and short vectors of integers
//! among them are taken for constants, since shapes often depend on them (the `k` of a `TopK`, the ends of a `Slice`).
//! What results is a model like any other. It is kept as long as the calls stay alike.

use crate::error::{Error, Failure};
use crate::infer::MAX_TRACKED;
use crate::ir::{DType, Model, PortDim, Tensor};
use crate::session::{Options, Outputs, Session, fed};
use crate::tensor::TensorView;
use bytes::Bytes;

/// As [`Session`], for models with inputs of unknown rank.
pub struct OpenSession {
    model: Model,
    options: Options,
    made: Option<Made>,
}

/// A session for one kind of call.
struct Made {
    call: Vec<Fed>,
    session: Session,
}

/// What of an input makes a session another.
#[derive(PartialEq)]
struct Fed {
    shape: Vec<usize>,
    /// Its elements, if they are taken for a constant.
    constant: Option<Bytes>,
}

impl OpenSession {
    /// Whether a model is one for this.
    pub fn suits(model: &Model) -> bool {
        model.inputs.iter().any(|port| port.dims.is_none())
    }

    /// Errors in the model come with the first run.
    pub fn new(model: Model, options: Options) -> OpenSession {
        OpenSession { model, options, made: None }
    }

    /// The model, with its inputs and outputs.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The session of the last run.
    pub fn session(&self) -> Option<&Session> {
        self.made.as_ref().map(|made| &made.session)
    }

    /// See [`Session::run`].
    ///
    /// # Errors
    /// As there, and those of [`Session::with_options`].
    pub fn run(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<Outputs<'_>, Error> {
        let call = self.call(inputs)?;
        let mut free = inputs.to_vec();
        for (port, fed) in self.model.inputs.iter().zip(&call) {
            free.retain(|(name, _)| port.name != *name || fed.constant.is_none());
        }
        let made = match self.made.take().filter(|made| made.call == call) {
            Some(made) => made,
            None => {
                let session = Session::with_options(fixed(&self.model, &call), self.options)?;
                Made { call, session }
            }
        };
        self.made.insert(made).session.run(&free)
    }

    fn call(&self, inputs: &[(&str, TensorView<'_>)]) -> Result<Vec<Fed>, Failure> {
        let mut call = Vec::with_capacity(inputs.len());
        for port in &self.model.inputs {
            let tensor = fed(port, &self.model.inputs, inputs)?;
            let is_shape = tensor.shape.len() <= 1 && tensor.data.len() <= MAX_TRACKED;
            let constant = (is_shape && matches!(tensor.data.dtype(), DType::I64 | DType::I32))
                .then(|| Bytes::copy_from_slice(tensor.data.bytes()));
            call.push(Fed { shape: tensor.shape.to_vec(), constant });
        }
        Ok(call)
    }
}

/// The model for one kind of call.
fn fixed(model: &Model, call: &[Fed]) -> Model {
    let mut model = model.clone();
    let ports = std::mem::take(&mut model.inputs);
    for (mut port, Fed { shape, constant }) in ports.into_iter().zip(call) {
        match constant {
            Some(elements) => {
                let (dtype, shape, data) = (port.dtype.runtime(), shape.clone(), elements.clone());
                model.constants.insert(port.value, Tensor { dtype, shape, data });
            }
            None => {
                let dims = port.dims.insert(Vec::with_capacity(shape.len()));
                shape.iter().for_each(|&size| dims.push(PortDim::Fixed(size)));
                model.inputs.push(port);
            }
        }
    }
    model
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Data;
    use crate::ir::{Op, Port};
    use crate::testing::Builder;

    /// `(x, k) -> (values, indices)`
    fn top_k() -> OpenSession {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &[]);
        let k = b.input("k", DType::I64, &["1"]);
        let outputs = b.nodes(Op::TopK { axis: -1, largest: true }, &[x, k], 2);
        b.0.inputs[0].dims = None;
        let mut model = b.output(outputs[0]);
        model.outputs.push(Port { name: "indices".into(), value: outputs[1], dtype: DType::I64, dims: None });
        assert!(OpenSession::suits(&model));
        assert!(matches!(Session::new(model.clone()), Err(Error::Unsupported { .. })));
        OpenSession::new(model, Options::default())
    }

    fn run(session: &mut OpenSession, shape: &[usize], x: &[f32], k: i64) -> Result<(Vec<usize>, Vec<f32>), Error> {
        let (x, k) = (TensorView { shape, data: Data::F32(x) }, [k]);
        let outputs = session.run(&[("x", x), ("k", TensorView { shape: &[1], data: Data::I64(&k) })])?;
        let indices = outputs.get("indices").unwrap();
        let (shape, Data::I64(indices)) = (indices.shape, indices.data) else { panic!("indices are i64") };
        let values = outputs.get("output").unwrap();
        assert_eq!(values.shape, shape);
        let of_both = values.data.as_f32().unwrap().iter().copied().chain(indices.iter().map(|&i| i as f32));
        Ok((shape.to_vec(), of_both.collect()))
    }

    #[test]
    fn every_call_has_its_shape() {
        let mut session = top_k();
        let x = [0.5, -1.0, 7.0, 7.0, 2.0, 3.0];
        assert_eq!(run(&mut session, &[6], &x, 1).unwrap(), (vec![1], vec![7.0, 2.0]));
        assert_eq!(run(&mut session, &[6], &[0.0, 9.0, 0.0, 0.0, 0.0, 0.0], 1).unwrap(), (vec![1], vec![9.0, 1.0]));
        assert_eq!(run(&mut session, &[6], &x, 3).unwrap(), (vec![3], vec![7.0, 7.0, 3.0, 2.0, 3.0, 5.0]));
        assert_eq!(run(&mut session, &[2, 3], &x, 1).unwrap(), (vec![2, 1], vec![7.0, 7.0, 2.0, 0.0]));
    }

    #[test]
    fn wrong_calls_leave_it_usable() {
        let mut session = top_k();
        assert!(matches!(run(&mut session, &[2], &[1.0, 2.0], 3), Err(Error::InvalidModel { .. })));
        assert!(matches!(run(&mut session, &[2], &[1.0, 2.0], -1), Err(Error::InvalidModel { .. })));
        assert!(matches!(run(&mut session, &[], &[1.0], 1), Err(Error::InvalidModel { .. })));
        assert!(matches!(run(&mut session, &[3], &[1.0, 2.0], 1), Err(Error::WrongShape { .. })));
        let k = TensorView { shape: &[1], data: Data::F32(&[1.0]) };
        assert!(matches!(session.run(&[("x", k), ("k", k)]), Err(Error::WrongType { .. })));
        assert!(matches!(session.run(&[("k", k)]), Err(Error::MissingInput { .. })));
        assert_eq!(run(&mut session, &[2], &[1.0, 2.0], 1).unwrap(), (vec![1], vec![2.0, 1.0]));
    }
}
