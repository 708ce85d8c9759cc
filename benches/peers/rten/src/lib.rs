//! rten, its weights packed when a model is loaded.

use peer_abi::{Matrix, Peer};
use rten::{Model, ModelOptions, NodeId, Value};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

struct Rten {
    model: Model,
    inputs: Vec<(NodeId, Value)>,
    output: Option<Value>,
}

impl Rten {
    fn node(&self, name: &str) -> Result<NodeId, String> {
        self.model.node_id(name).map_err(|error| error.to_string())
    }
}

impl Peer for Rten {
    fn load(model: Vec<u8>) -> Result<Rten, String> {
        let mut options = ModelOptions::with_all_ops();
        let model = options.prepack_weights(true).load(model).map_err(|error| error.to_string())?;
        Ok(Rten { model, inputs: Vec::new(), output: None })
    }

    fn set_tokens(&mut self, batch: usize, seq: usize, ids: &[i64], mask: &[i64]) -> Result<(), String> {
        // rten keeps int64 as int32.
        let value =
            |x: &[i64]| Tensor::from_data(&[batch, seq], x.iter().map(|&x| x as i32).collect::<Vec<_>>()).into();
        self.inputs = vec![(self.node("input_ids")?, value(ids)), (self.node("attention_mask")?, value(mask))];
        Ok(())
    }

    fn set_matrix(&mut self, m: usize, k: usize, a: Matrix) -> Result<(), String> {
        let value = match a {
            Matrix::F32(a) => Tensor::from_data(&[m, k], a.to_vec()).into(),
            Matrix::U8(a) => Tensor::from_data(&[m, k], a.to_vec()).into(),
        };
        self.inputs = vec![(self.node("a")?, value)];
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        let inputs = self.inputs.iter().map(|(id, value)| (*id, value.into())).collect();
        let outputs = self.model.run(inputs, &self.model.output_ids()[..1], None).map_err(|error| error.to_string())?;
        self.output = outputs.into_iter().next();
        Ok(())
    }

    fn output(&self) -> Result<Vec<f64>, String> {
        match &self.output {
            Some(Value::FloatTensor(x)) => Ok(x.iter().map(|&x| x.into()).collect()),
            Some(Value::Int32Tensor(x)) => Ok(x.iter().map(|&x| x.into()).collect()),
            _ => Err("no output of a known type".into()),
        }
    }
}

peer_abi::export!(Rten);
