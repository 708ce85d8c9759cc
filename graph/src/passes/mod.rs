//! Rewrites that keep a model's meaning and make it smaller: one file per pass.
//!
//! The order matters in one way only: each pass finds its patterns in the forms that the passes before it leave. First
//! everything that does not depend on data goes, until nothing more does; then the large patterns are fused; then linear
//! layers swallow their neighbours.

mod absorbed;
mod attention;
mod blocks;
mod channels;
mod cleanup;
mod constants;
mod expand;
mod first_rows;
mod gelu;
mod halves;
mod layer_norm;
mod layout;
mod linear;
mod mask;
mod per_row;
mod quantized;
mod rewrite;
mod shapes;
mod softmax;
pub mod stack;
mod tables;

use crate::Options;
use crate::error::Failure;
use crate::ir::{DType, Model, Node, Op, ValueId};
use rewrite::Draft;

/// More rounds than any exporter's nesting needs.
const MAX_ROUNDS: usize = 12;

/// `(pass, rewrites)` of the passes that found something.
pub type Found = Vec<(&'static str, usize)>;

/// Runs all passes; if `literal`, only those that change no result beyond the rounding of float operations.
///
/// # Errors
/// The model contradicts itself, or a constant cannot be computed.
pub fn run(model: &mut Model, options: &Options) -> Result<Found, Failure> {
    let literal = is_literal(model, options);
    let mut draft = Draft::new(std::mem::take(model), literal);
    let found = improve(&mut draft, options)?;
    *model = draft.into_model();
    Ok(found)
}

/// Whether floats are to have the bits that the graph gives them, operator by operator. In models of half floats only
/// where they decide about bytes: which results are rounded to halves is not in the graph, and passes that fuse find it.
pub fn is_literal(model: &Model, options: &Options) -> bool {
    let rounded = |id: &ValueId| model.nodes.iter().any(|n| n.op == Op::Cast(DType::I32) && n.outputs.contains(id));
    let quantizes = |node: &Node| match node.op {
        Op::DynamicQuantizeLinear | Op::QuantizeLinear { .. } => true,
        // To 16 bits a model gets by arithmetic.
        Op::DequantizeLinear { .. } => node.input(0).as_ref().is_some_and(rounded),
        _ => false,
    };
    let has_halves = || model.constants.values().any(|t| matches!(t.dtype, DType::F16 | DType::BF16));
    options.literal && (!has_halves() || model.nodes.iter().any(quantizes))
}

fn improve(model: &mut Draft, options: &Options) -> Result<Found, Failure> {
    let mut found = Found::new();
    note(&mut found, "rounding to half floats", halves::run(model)?);
    for _ in 0..MAX_ROUNDS {
        simplify(model, &mut found, true)?;
        let count = quantized::run(model)?;
        note(&mut found, "quantised product or look-up", count);
        if count == 0 {
            break;
        }
    }
    note(&mut found, "table", tables::run(model)?);
    note(&mut found, "weight in codes", blocks::run(model)?);
    // Steps within others, and what expanded these weights, must not be folded.
    cleanup::dead_code(model);
    simplify(model, &mut found, model.literal)?;
    note(&mut found, "linear layer", linear::run(model)?);
    simplify(model, &mut found, model.literal)?;
    if model.literal {
        attention::spell_out(model, true)?;
    } else {
        note(&mut found, "GELU", gelu::run(model)?);
        note(&mut found, "layer normalisation", layer_norm::run(model)?);
        note(&mut found, "softmax", softmax::run(model)?);
        note(&mut found, "attention", attention::run(model)?);
    }
    simplify(model, &mut found, model.literal)?;
    for _ in 0..MAX_ROUNDS {
        let count = linear::epilogue(model)?;
        cleanup::dead_code(model);
        note(&mut found, "bias, activation or residual into linear layer", count);
        if count == 0 {
            break;
        }
    }
    if !options.literal {
        note(&mut found, "quantisation per row", per_row::run(model)?);
        note(&mut found, "quantisation into linear layer", per_row::into_linear(model, options.fast)?);
        cleanup::dead_code(model);
    }
    Ok(found)
}

/// Runs only what the executor cannot do without.
///
/// # Errors
/// As [`run`].
pub fn run_required(model: &mut Model, literal: bool) -> Result<Found, Failure> {
    let mut draft = Draft::new(std::mem::take(model), literal);
    attention::spell_out(&mut draft, literal)?;
    *model = draft.into_model();
    Ok(Found::new())
}

/// A pass and its name. The flag says whether 8-bit weights stay quantised.
type Pass = (&'static str, fn(&mut Draft, bool) -> Result<usize, Failure>);

/// Everything that needs no look at data.
const SIMPLE: [Pass; 9] = [
    ("shape arithmetic", |model, _| shapes::run(model)),
    ("identity", |model, _| cleanup::identities(model)),
    ("constant", constants::fold),
    ("common subexpression", |model, _| Ok(cleanup::common_subexpressions(model))),
    ("transpose or reshape", |model, _| layout::run(model)),
    ("channels behind tokens", |model, _| channels::run(model)),
    ("rows flattened around a product", |model, _| linear::unflatten(model)),
    ("expansion moved back", |model, _| expand::run(model)),
    ("dead code", |model, _| Ok(cleanup::dead_code(model))),
];

/// Runs the simple passes in turn until each has found nothing since anything changed.
fn simplify(model: &mut Draft, found: &mut Found, keep_quantized: bool) -> Result<(), Failure> {
    let mut idle = 0;
    for (name, pass) in SIMPLE.iter().cycle().take(MAX_ROUNDS * SIMPLE.len()) {
        let count = pass(model, keep_quantized)?;
        note(found, name, count);
        idle = if count == 0 { idle + 1 } else { 0 };
        if idle == SIMPLE.len() {
            break;
        }
    }
    Ok(())
}

fn note(found: &mut Found, name: &'static str, count: usize) {
    match found.iter_mut().find(|(n, _)| *n == name) {
        Some((_, total)) => *total += count,
        None if count > 0 => found.push((name, count)),
        None => {}
    }
}
