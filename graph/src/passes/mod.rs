//! Rewrites that keep a model's meaning and make it smaller: one file per pass.
//!
//! The order matters in one way only: each pass finds its patterns in the forms that the passes before it leave. First
//! everything that does not depend on data goes, until nothing more does; then the large patterns are fused; then linear
//! layers swallow their neighbours.

mod attention;
mod cleanup;
mod constants;
mod expand;
mod first_rows;
mod gelu;
mod layer_norm;
mod layout;
mod linear;
mod per_row;
mod quantized;
mod rewrite;
mod shapes;
mod softmax;
pub mod stack;

use crate::Options;
use crate::error::Error;
use crate::ir::Model;
use rewrite::Draft;

/// More rounds than any exporter's nesting needs.
const MAX_ROUNDS: usize = 12;

/// `(pass, rewrites)` of the passes that found something.
pub type Found = Vec<(&'static str, usize)>;

/// Runs all passes; if `literal`, only those that change no result beyond the rounding of float operations.
///
/// # Errors
/// The model contradicts itself, or a constant cannot be computed.
pub fn run(model: &mut Model, options: &Options) -> Result<Found, Error> {
    let mut draft = Draft::new(std::mem::take(model));
    let found = improve(&mut draft, options)?;
    *model = draft.into_model();
    Ok(found)
}

fn improve(model: &mut Draft, options: &Options) -> Result<Found, Error> {
    let mut found = Found::new();
    for _ in 0..MAX_ROUNDS {
        simplify(model, &mut found, true)?;
        let count = quantized::run(model)?;
        note(&mut found, "quantised product or look-up", count);
        if count == 0 {
            break;
        }
    }
    simplify(model, &mut found, false)?;
    note(&mut found, "linear layer", linear::run(model)?);
    simplify(model, &mut found, false)?;
    note(&mut found, "GELU", gelu::run(model)?);
    note(&mut found, "layer normalisation", layer_norm::run(model)?);
    note(&mut found, "softmax", softmax::run(model)?);
    note(&mut found, "attention", attention::run(model)?);
    simplify(model, &mut found, false)?;
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
pub fn run_required(model: &mut Model) -> Result<Found, Error> {
    let mut draft = Draft::new(std::mem::take(model));
    attention::spell_out(&mut draft)?;
    *model = draft.into_model();
    Ok(Found::new())
}

/// Everything that needs no look at data, until nothing changes.
fn simplify(model: &mut Draft, found: &mut Found, keep_quantized: bool) -> Result<(), Error> {
    model.forget();
    for _ in 0..MAX_ROUNDS {
        let mut changes = 0;
        let mut count = |name, n| {
            changes += n;
            note(found, name, n);
        };
        count("shape arithmetic", shapes::run(model)?);
        count("identity", cleanup::identities(model)?);
        let folded = constants::fold(model, keep_quantized)?;
        // What is computed may say more than was known of it: a shape that was a question has become an answer.
        if folded > 0 {
            model.forget();
        }
        count("constant", folded);
        count("common subexpression", cleanup::common_subexpressions(model));
        count("transpose or reshape", layout::run(model)?);
        count("rows flattened around a product", linear::unflatten(model)?);
        count("expansion moved back", expand::run(model)?);
        count("dead code", cleanup::dead_code(model));
        if changes == 0 {
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
