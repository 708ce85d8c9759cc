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
