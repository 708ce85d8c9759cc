//! The benchmarks as WebAssembly, in wasmtime and in V8.

use super::{models_if_possible, readable, selection};
use crate::build::{VARIANTS, Variant};
use crate::shell::{announce, cargo};
use crate::{Result, project, shell, tools};
use std::process::Command;

#[derive(Clone, Copy)]
pub enum Engine {
    Wasmtime,
    /// In Node.
    V8,
}

pub fn run(engine: Engine, arguments: &[String]) -> Result {
    models_if_possible()?;
    tools::rust_target("wasm32-wasip1")?;
    for variant in &VARIANTS {
        let name = match engine {
            Engine::Wasmtime => "wasmtime",
            Engine::V8 => "V8",
        };
        announce(&format!("benchmarks in {name} with {}", variant.name));
        let results = project::target().join("criterion").join(format!("{name}-{}", variant.name));
        shell::make_folder(&results)?;
        let mut command = compile(variant, "bench");
        command.args(selection(arguments));
        let runner = match engine {
            Engine::Wasmtime => tools::wasi_runner()?.display().to_string(),
            Engine::V8 => v8_runner()?,
        };
        command.env("CARGO_TARGET_WASM32_WASIP1_RUNNER", runner);
        command.env("WASI_RUNNER_DIRS", readable()).env("WASI_RUNNER_WRITABLE", &results);
        command.env("CRITERION_HOME", &results);
        shell::run(&mut command)?;
    }
    Ok(())
}

/// `cargo ACTION` for one instruction set, optimised as what pages get.
fn compile(variant: &Variant, action: &str) -> Command {
    let mut command = cargo();
    command.args([action, "--profile", "wasm", "--target", "wasm32-wasip1", "--target-dir"]);
    command.arg(project::target().join(format!("bench-{}", variant.name)));
    command.env("CARGO_ENCODED_RUSTFLAGS", variant.features);
    command
}

/// How cargo starts a WebAssembly program in Node.
fn v8_runner() -> Result<String> {
    let node = tools::bench_node()?;
    let words = std::iter::once(node.get_program()).chain(node.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(format!("{} --no-warnings {}", words.join(" "), project::benches().join("js/wasi.js").display()))
}

/// Where the time of a run goes, in V8.
pub fn profile(model: &str, shape: &[usize]) -> Result {
    tools::rust_target("wasm32-wasip1")?;
    let model = std::fs::canonicalize(model).map_err(|error| format!("{model}: {error}"))?;
    for variant in &VARIANTS {
        announce(&format!("profile in V8 with {}", variant.name));
        let mut command = compile(variant, "run");
        command.args(["--quiet", "--package", "fourlane-benches", "--bin", "profile", "--"]);
        command.arg(&model).args(shape.iter().map(usize::to_string));
        command.env("CARGO_TARGET_WASM32_WASIP1_RUNNER", v8_runner()?);
        let folder = model.parent().unwrap_or(&model);
        command.env("WASI_RUNNER_DIRS", folder);
        shell::run(&mut command)?;
    }
    Ok(())
}
