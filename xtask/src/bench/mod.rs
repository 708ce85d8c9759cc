//! `cargo xtask bench`: the benchmarks.
//!
//! - without a flag natively, `--wasmtime` and `--v8` the same programs as wasm32-wasip1 in these engines, with and
//!   without relaxed SIMD; what follows is a benchmark's file (`gemm`, `kernels`, `models`, `pipeline`) and arguments of
//!   criterion, of which the first filters by name;
//! - `--peers`: side by side with other engines, which writes `benches/RESULTS.md`;
//! - `--threads`: two threads against one, which writes a section of it;
//! - `--models` writes the models of real size, `--check` holds them to recorded results.

mod peers;
mod wasm;

use crate::shell::cargo;
use crate::{Result, project, shell};
use fourlane_benches::models;

pub use wasm::profile;

/// Files in `benches/benches`.
const FILES: [&str; 4] = ["gemm", "kernels", "models", "pipeline"];

pub fn run(arguments: &[String]) -> Result {
    let (flag, rest) = match arguments.split_first() {
        Some((flag, rest)) => (flag.as_str(), rest),
        None => ("", arguments),
    };
    match flag {
        "--models" => materialize(),
        "--check" => check(),
        "--peers" => peers::run(rest),
        "--threads" => peers::threads(rest),
        "--wasmtime" => wasm::run(wasm::Engine::Wasmtime, rest),
        "--v8" => wasm::run(wasm::Engine::V8, rest),
        _ => native(arguments),
    }
}

fn native(arguments: &[String]) -> Result {
    models_if_possible()?;
    shell::run(cargo().arg("bench").args(selection(arguments)))
}

/// cargo's arguments: all benchmarks or one file's, and what criterion gets.
fn selection(arguments: &[String]) -> Vec<String> {
    let (files, rest) = match arguments.split_first() {
        Some((file, rest)) if FILES.contains(&file.as_str()) => (vec![file.as_str()], rest),
        _ => (FILES.to_vec(), arguments),
    };
    let mut all = vec!["--package".to_owned(), "fourlane-benches".to_owned()];
    all.extend(files.iter().flat_map(|file| ["--bench".to_owned(), (*file).to_owned()]));
    all.push("--".to_owned());
    // Neither browser nor gnuplot is waited for.
    all.push("--noplot".to_owned());
    all.extend(rest.iter().cloned());
    all
}

/// Writes the models of real size, in a program that is optimised.
fn materialize() -> Result {
    models::skeletons()?;
    shell::run(cargo().args(["run", "--quiet", "--release", "--package", "fourlane-benches", "--bin", "materialize"]))
}

/// As [`materialize`]; without their graphs, benchmarks of other things can run all the same.
fn models_if_possible() -> Result {
    match models::skeletons() {
        Ok(_) => materialize(),
        Err(missing) => {
            shell::announce(&missing);
            Ok(())
        }
    }
}

fn check() -> Result {
    models::skeletons()?;
    let arguments = ["--package", "fourlane-benches", "--test", "models", "--", "--include-ignored", "--nocapture"];
    shell::run(cargo().args(["test", "--release"]).args(arguments))
}

/// Folders that programs in WebAssembly read: models, and the default model.
fn readable() -> String {
    project::root().display().to_string()
}
