//! Where the time of a run goes, step by step, and where its values live.

use crate::error::Error;
use crate::exec;
use crate::ir::Op;
use crate::plan::{Buffer, Plan, View};
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
    /// crate itself knows of no clock, since WebAssembly has none. All happens on the thread that calls, with those of its
    /// rayon pool, if it is one of a pool; not on the session's own threads.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_profiled(
        &mut self,
        inputs: &[(&str, TensorView<'_>)],
        clock: &dyn Fn() -> f64,
        visit: &mut dyn FnMut(StepProfile<'_>),
    ) -> Result<Outputs<'_>, Error> {
        let outputs = self.execute(inputs, &mut |node, step, memory| {
            let start = clock();
            exec::run(node, step, memory)?;
            let time = clock() - start;
            let size = |view: &View| view.range().len();
            let mut written = 0;
            step.outputs.iter().for_each(|view| written += size(view));
            let mut bytes = written;
            for (i, view) in step.inputs.iter().enumerate() {
                bytes += match (view, &node.op) {
                    (Some(_), Op::Gather { .. }) if i == 0 => written,
                    (view, _) => view.as_ref().map_or(0, size),
                };
            }
            visit(StepProfile {
                op: &node.op,
                name: &node.name,
                input: step.inputs.iter().flatten().next().map_or(&[], |view| &view.shape),
                output: step.outputs.first().map_or(&[], |view| &view.shape),
                bytes,
                time,
            });
            Ok(())
        })?;
        Ok(outputs)
    }
}

/// What a part of the arena holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// What the model is fed with.
    Input,
    /// What a step has computed.
    Result,
    /// What a step needs while it runs.
    Scratch,
}

/// A part of the arena for as long as it holds one thing. No two overlap in both bytes and steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// First byte.
    pub offset: usize,
    /// How many.
    pub bytes: usize,
    /// The step that writes it, counted as they run; 0 for inputs, too.
    pub first: usize,
    /// The last step that reads it; of what the model gives, the last of all.
    pub last: usize,
    /// What it holds.
    pub holds: Holds,
}

impl Plan {
    /// Where everything lives that is read. A value that is written over its operand is the same region.
    pub(crate) fn regions(&self) -> Vec<Region> {
        let mut regions: Vec<Region> = Vec::new();
        for (i, step) in self.steps.iter().enumerate() {
            for view in step.inputs.iter().flatten() {
                read(&mut regions, view, i);
            }
            for view in &step.outputs {
                let is_there = |operand: &View| operand.buffer == Buffer::Arena && operand.offset == view.offset;
                if !step.inputs.iter().flatten().any(is_there) {
                    write(&mut regions, view, i, Holds::Result);
                }
            }
            write(&mut regions, &step.scratch, i, Holds::Scratch);
        }
        for view in &self.outputs {
            read(&mut regions, view, self.steps.len().saturating_sub(1));
        }
        regions
    }
}

/// Something new lies at `view` from `step` on.
fn write(regions: &mut Vec<Region>, view: &View, step: usize, holds: Holds) {
    let bytes = view.range().len();
    if bytes > 0 {
        regions.push(Region { offset: view.offset, bytes, first: step, last: step, holds });
    }
}

/// What was written last where `view` begins lives until `step`. If nothing was, it is an input.
fn read(regions: &mut Vec<Region>, view: &View, step: usize) {
    if view.buffer != Buffer::Arena || view.range().is_empty() {
        return;
    }
    let here = |region: &Region| region.offset == view.offset && region.holds != Holds::Scratch;
    if !regions.iter().any(here) {
        write(regions, view, 0, Holds::Input);
    }
    if let Some(region) = regions.iter_mut().rev().find(|region| here(region)) {
        region.last = step;
    }
}

#[cfg(test)]
mod tests {
    use super::{Holds, Region};
    use crate::ir::{Binary, DType, Op, Unary};
    use crate::testing::{Builder, noise};
    use crate::{Data, Options, Session, TensorView};
    use std::cell::Cell;

    #[test]
    fn regions_are_where_values_live() {
        // x -> matmul -> tanh (in place) -> matmul -> add to x
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["n", "32"]);
        let (w, v) = (b.weight(&[32, 64]), b.weight(&[64, 32]));
        let wide = b.node(Op::MatMul, &[x, w]);
        let tanh = b.node(Op::Unary(Unary::Tanh), &[wide]);
        let narrow = b.node(Op::MatMul, &[tanh, v]);
        let y = b.node(Op::Binary(Binary::Add), &[narrow, x]);
        let options = Options { optimize: false, ..Options::default() };
        let mut session = Session::with_options(b.output(y), options).unwrap();
        let x = [1.0; 64];
        let outputs = session.run(&[("x", TensorView { shape: &[2, 32], data: Data::F32(&x) })]).unwrap();

        let regions = outputs.regions();
        let told = |holds| -> Vec<(usize, usize, usize)> {
            let all = regions.iter().filter(|region| region.holds == holds);
            all.map(|region| (region.bytes, region.first, region.last)).collect()
        };
        assert_eq!(told(Holds::Input), [(256, 0, 3)]);
        assert_eq!(told(Holds::Result), [(512, 0, 2), (256, 2, 3), (256, 3, 3)]);
        let apart = |a: &Region, b: &Region| {
            let bytes = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
            bytes || a.last < b.first || b.last < a.first
        };
        for (i, a) in regions.iter().enumerate() {
            assert!(regions[..i].iter().all(|b| apart(a, b)), "{regions:?}");
        }
    }

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
