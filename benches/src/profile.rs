//! Where the time of a run goes, operator by operator.
//!
//! Operators of one kind on one shape are one line. Each step counts with its fastest of several runs, which other
//! programs on the machine disturb least.

use crate::models::Result;
use fourlane_graph::ir::{DType, Op, PortDim};
use fourlane_graph::{Data, Session, StepProfile, TensorView};
use std::time::Instant;

/// After one that plans and warms up.
const RUNS: usize = 7;

/// Steps that do the same on the same shapes.
struct Line {
    what: String,
    shapes: String,
    steps: usize,
    operations: f64,
    bytes: usize,
    time: f64,
}

/// An input of token ids, a mask, or types.
struct Input {
    name: String,
    shape: Vec<usize>,
    data: Vec<i64>,
}

/// Runs the model on made-up tokens and prints the table. `sizes` are those of the free dimensions.
///
/// # Errors
/// A model whose inputs are not token ids, a shape that it cannot have.
pub fn print(session: &mut Session, sizes: &[(&str, usize)]) -> Result {
    let inputs = inputs(session, sizes)?;
    let feeds: Vec<(&str, TensorView)> = inputs
        .iter()
        .map(|input| (input.name.as_str(), TensorView { shape: &input.shape, data: Data::I64(&input.data) }))
        .collect();
    let start = Instant::now();
    let mut steps: Vec<Line> = Vec::new();
    for run in 0..=RUNS {
        let mut index = 0;
        let mut visit = |step: StepProfile| {
            if run == 0 {
                steps.push(line(&step));
                steps[index].time = f64::INFINITY;
            } else {
                steps[index].time = steps[index].time.min(step.time);
            }
            index += 1;
        };
        session
            .run_profiled(&feeds, &|| start.elapsed().as_secs_f64(), &mut visit)
            .map_err(|error| error.to_string())?;
    }

    let mut lines: Vec<Line> = Vec::new();
    for step in steps {
        match lines.iter_mut().find(|line| line.what == step.what && line.shapes == step.shapes) {
            Some(line) => {
                line.steps += step.steps;
                line.operations += step.operations;
                line.bytes += step.bytes;
                line.time += step.time;
            }
            None => lines.push(step),
        }
    }
    lines.sort_by(|a, b| b.time.total_cmp(&a.time));
    let total: f64 = lines.iter().map(|line| line.time).sum();
    println!("{:>9} {:>6} {:>6} {:>7} {:>7}  operator, operand -> result", "ms", "%", "steps", "Gop/s", "GB/s");
    for line in &lines {
        println!(
            "{:>9.3} {:>6.1} {:>6} {:>7} {:>7.1}  {} {}",
            line.time * 1e3,
            line.time / total * 100.0,
            line.steps,
            if line.operations > 0.0 { format!("{:.1}", line.operations / line.time / 1e9) } else { String::new() },
            line.bytes as f64 / line.time / 1e9,
            line.what,
            line.shapes
        );
    }
    println!("{:>9.3} ms in {} steps", total * 1e3, lines.iter().map(|line| line.steps).sum::<usize>());
    Ok(())
}

/// Tokens without padding.
fn inputs(session: &Session, sizes: &[(&str, usize)]) -> Result<Vec<Input>> {
    let size = |dim: &PortDim| match dim {
        PortDim::Fixed(size) => *size,
        PortDim::Symbol(name) => sizes.iter().find(|(symbol, _)| symbol == name).map_or(1, |(_, size)| *size),
    };
    let made = session.inputs().iter().map(|port| {
        if port.dtype != DType::I64 {
            return Err(format!("a profile is of token ids, but input '{}' is {}", port.name, port.dtype.name()));
        }
        let shape: Vec<usize> = port.dims.iter().flatten().map(size).collect();
        let value = |i: usize| match port.name.as_str() {
            name if name.contains("mask") => 1,
            name if name.contains("type") => 0,
            // Any vocabulary has that many.
            _ => (i * 7919 % 30) as i64,
        };
        let data = (0..shape.iter().product()).map(value).collect();
        Ok(Input { name: port.name.clone(), shape, data })
    });
    made.collect()
}

fn line(step: &StepProfile) -> Line {
    let shapes = format!("{:?} -> {:?}", step.input, step.output);
    Line { what: step.op.name(), shapes, steps: 1, operations: operations(step), bytes: step.bytes, time: 0.0 }
}

/// Multiplications and additions of matrix products; 0 for what only moves or maps numbers.
fn operations(step: &StepProfile) -> f64 {
    let results: usize = step.output.iter().product();
    let (Some(inner), Some(rows)) = (step.input.last(), step.input.len().checked_sub(2)) else { return 0.0 };
    let depth = match step.op {
        Op::MatMul | Op::MatMulInteger | Op::Gemm { .. } => *inner,
        Op::Linear { .. } | Op::LinearInt8 { .. } | Op::LinearBlocks { .. } => *inner,
        // Scores and their weighted sum, both over the keys, of which there are as many as queries.
        Op::Attention { .. } => 2 * step.input[rows],
        _ => 0,
    };
    2.0 * results as f64 * depth as f64
}
