//! tract, a plan of its own for each shape, optimised when inputs of that shape are set.

use peer_abi::{Matrix, Peer};
use std::io::Cursor;
use tract_onnx::prelude::*;

struct Tract {
    model: InferenceModel,
    plan: Option<Arc<TypedRunnableModel>>,
    shapes: Vec<Vec<usize>>,
    inputs: TVec<TValue>,
    output: Option<TValue>,
}

impl Tract {
    /// One tensor for each input of the model, in its order.
    fn set(&mut self, inputs: TVec<Tensor>) -> Result<(), String> {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        if self.plan.is_none() || shapes != self.shapes {
            self.plan = None;
            let plan = plan(self.model.clone(), &inputs).map_err(|error| format!("{error:#}"))?;
            self.plan = Some(plan);
            self.shapes = shapes;
        }
        self.inputs = inputs.into_iter().map(Into::into).collect();
        Ok(())
    }
}

fn plan(mut model: InferenceModel, inputs: &[Tensor]) -> TractResult<Arc<TypedRunnableModel>> {
    for (i, input) in inputs.iter().enumerate() {
        model.set_input_fact(i, InferenceFact::dt_shape(input.datum_type(), input.shape()))?;
    }
    model.into_optimized()?.into_runnable()
}

impl Peer for Tract {
    fn load(model: Vec<u8>) -> Result<Tract, String> {
        let onnx = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
        let model = onnx.model_for_read(&mut Cursor::new(model)).map_err(|error| format!("{error:#}"))?;
        Ok(Tract { model, plan: None, shapes: Vec::new(), inputs: TVec::new(), output: None })
    }

    fn set_tokens(&mut self, batch: usize, seq: usize, ids: &[i64], mask: &[i64]) -> Result<(), String> {
        let tensor = |x: &[i64]| Tensor::from_shape(&[batch, seq], x).map_err(|error| error.to_string());
        let outlets = self.model.input_outlets().map_err(|error| error.to_string())?;
        let names: Vec<&str> = outlets.iter().map(|outlet| self.model.node(outlet.node).name.as_str()).collect();
        let inputs = names.iter().map(|name| tensor(if name.contains("mask") { mask } else { ids }));
        let inputs = inputs.collect::<Result<_, _>>()?;
        self.set(inputs)
    }

    fn set_matrix(&mut self, m: usize, k: usize, a: Matrix) -> Result<(), String> {
        let tensor = match a {
            Matrix::F32(a) => Tensor::from_shape(&[m, k], a),
            Matrix::U8(a) => Tensor::from_shape(&[m, k], a),
        };
        self.set(tvec![tensor.map_err(|error| error.to_string())?])
    }

    fn run(&mut self) -> Result<(), String> {
        let plan = self.plan.as_ref().ok_or("no inputs")?;
        let outputs = plan.run(self.inputs.clone()).map_err(|error| format!("{error:#}"))?;
        self.output = outputs.into_iter().next();
        Ok(())
    }

    fn output(&self) -> Result<Vec<f64>, String> {
        let output = self.output.as_ref().ok_or("no output")?;
        let output = output.cast_to::<f64>().map_err(|error| error.to_string())?;
        let view = output.to_plain_array_view::<f64>().map_err(|error| error.to_string())?;
        Ok(view.iter().copied().collect())
    }
}

peer_abi::export!(Tract);
