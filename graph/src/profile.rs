//! Where the time of a run goes, step by step.

use crate::error::Error;
use crate::exec;
use crate::ir::Op;
use crate::plan::View;
use crate::session::{Outputs, Session};
use crate::tensor::TensorView;

/// One step of a run, as it was.
#[derive(Clone, Copy, Debug)]
pub struct StepProfile<'a> {
    /// What ran.
    pub op: &'a Op,
    /// The node's name in the file.
    pub name: &'a str,
    /// Shape of the first operand; empty if there is none.
    pub input: &'a [usize],
    /// Shape of the first result.
    pub output: &'a [usize],
    /// Bytes of all operands and results, weights included; of a table that rows are gathered from, those rows.
    pub bytes: usize,
    /// In the unit of the clock.
    pub time: f64,
}

impl Session {
    /// As [`Session::run`], and tells `visit` of each step when it has run. `clock` gives the time now, in any unit: the
    /// crate itself knows of no clock, since WebAssembly has none.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_profiled(
        &mut self,
        inputs: &[(&str, TensorView<'_>)],
        clock: &dyn Fn() -> f64,
        visit: &mut dyn FnMut(StepProfile<'_>),
    ) -> Result<Outputs<'_>, Error> {
        self.execute(inputs, |node, step, memory| {
            let start = clock();
            exec::run(node, step, memory)?;
            let time = clock() - start;
            let size = |view: &View| view.range().len();
            let written: usize = step.outputs.iter().map(size).sum();
            let read = |(i, view): (usize, &Option<View>)| match (view, &node.op) {
                (Some(_), Op::Gather { .. }) if i == 0 => written,
                (view, _) => view.as_ref().map_or(0, size),
            };
            visit(StepProfile {
                op: &node.op,
                name: &node.name,
                input: step.inputs.iter().flatten().next().map_or(&[], |view| &view.shape),
                output: step.outputs.first().map_or(&[], |view| &view.shape),
                bytes: step.inputs.iter().enumerate().map(read).sum::<usize>() + written,
                time,
            });
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::{DType, Op, Unary};
    use crate::testing::{Builder, noise};
    use crate::{Data, Options, Session, TensorView};
    use std::cell::Cell;

    #[test]
    fn a_profile_tells_each_step_and_changes_nothing() {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["n", "4"]);
        let w = b.weight(&[4, 3]);
        let product = b.node(Op::MatMul, &[x, w]);
        let y = b.node(Op::Unary(Unary::Tanh), &[product]);
        let options = Options { optimize: false, ..Options::default() };
        let mut session = Session::with_options(b.output(y), options).unwrap();

        let x: Vec<f32> = (0..8).map(noise).collect();
        let feeds = [("x", TensorView { shape: &[2, 4], data: Data::F32(&x) })];
        let expected = session.run(&feeds).unwrap().get("output").unwrap().data.as_f32().unwrap().to_vec();

        // Each look at the clock takes one unit, so every step lasts as long.
        let time = Cell::new(0.0);
        let clock = || {
            time.set(time.get() + 1.0);
            time.get()
        };
        let mut steps = Vec::new();
        let outputs = session
            .run_profiled(&feeds, &clock, &mut |step| {
                let shapes = (step.input.to_vec(), step.output.to_vec());
                steps.push((step.op.name(), step.name.to_owned(), shapes, step.bytes, step.time));
            })
            .unwrap();
        assert_eq!(outputs.get("output").unwrap().data.as_f32().unwrap(), expected);
        let matmul = ("MatMul".to_owned(), "node 0".to_owned(), (vec![2, 4], vec![2, 3]), 4 * (8 + 12 + 6), 1.0);
        let tanh = ("Tanh".to_owned(), "node 1".to_owned(), (vec![2, 3], vec![2, 3]), 4 * (6 + 6), 1.0);
        assert_eq!(steps, [matmul, tanh]);
    }
}
