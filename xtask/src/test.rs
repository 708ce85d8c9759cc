//! `cargo xtask test [AREA]`: every test there is, on every instruction set and in every engine.
//!
//! - `native`: cargo's tests of the whole workspace, compiled for this machine, with and without cargo features;
//! - `wasm`: the tests of the three inner crates compiled to WebAssembly, with and without relaxed SIMD, in wasmtime;
//! - `node`: types, and the built package in Node, with both engines;
//! - `browser`: the demo page, and pages that have a worker, in headless Chromium;
//! - `ecosystem`: the packed package in other people's programs: bundlers, TypeScript, transformers.js, extensions, isolates.

use crate::build::{VARIANTS, Variant};
use crate::serve::Server;
use crate::shell::{announce, cargo, run as run_command};
use crate::{Result, build, project, shell, site, tools};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

type Area = (&'static str, fn() -> Result);

const AREAS: [Area; 5] =
    [("native", native), ("wasm", wasm), ("node", node), ("browser", browser), ("ecosystem", ecosystem)];

pub fn run(arguments: &[String]) -> Result {
    let areas: Vec<&str> = match arguments {
        [] => AREAS.iter().map(|(name, _)| *name).collect(),
        some => some.iter().map(String::as_str).collect(),
    };
    for name in areas {
        let Some((_, test)) = AREAS.iter().find(|(area, _)| *area == name) else {
            return Err(format!("there is no area '{name}'; there are native, wasm, node, browser and ecosystem"));
        };
        test()?;
    }
    Ok(())
}

fn native() -> Result {
    // The runner has no tests, and what it stands on takes minutes to build; `wasm` builds it once.
    let workspace = ["test", "--workspace", "--exclude", "wasi-runner"];
    announce("tests, native, with all features");
    run_command(cargo().args(workspace).args(["--features", "fourlane/bpe,fourlane/unigram"]))?;
    // Threads in builds of their own, so that what is tested above is what runs without them.
    announce("tests, native, with threads");
    let threads = ["--package", "fourlane-kernels", "--package", "fourlane-graph", "--features", "threads"];
    run_command(cargo().arg("test").args(threads).args([
        "--test",
        "properties",
        "--test",
        "allocation",
        "--test",
        "threads",
    ]))?;
    // Of a build without features: that it says so, and that it is as good at what it has.
    announce("tests, native, without features");
    run_command(cargo().args(workspace).args(["--test", "refusals", "--test", "tokenizer"]))?;
    let bare = ["--package", "fourlane-onnx", "--no-default-features", "--test", "int4"];
    run_command(cargo().arg("test").args(bare))
}

fn wasm() -> Result {
    for variant in &VARIANTS {
        announce(&format!("tests, wasm32 with {}", variant.name));
        let mut command = in_wasm(variant)?;
        for package in ["fourlane-kernels", "fourlane-graph", "fourlane-onnx"] {
            command.args(["--package", package]);
        }
        // Unit and integration tests: doc tests are run natively.
        run_command(command.args(["--lib", "--tests", "--no-fail-fast"]))?;
    }
    Ok(())
}

/// `cargo test` of some packages, which are still to be named, compiled to WebAssembly and run in wasmtime.
pub fn in_wasm(variant: &Variant) -> Result<Command> {
    tools::rust_target("wasm32-wasip1")?;
    let mut command = cargo();
    command.args(["test", "--target", "wasm32-wasip1", "--target-dir"]);
    command.arg(project::target().join(format!("wasi-{}", variant.name)));
    command.env("CARGO_ENCODED_RUSTFLAGS", variant.features);
    command.env("CARGO_TARGET_WASM32_WASIP1_RUNNER", tools::wasi_runner()?);
    command.env("WASI_RUNNER_DIRS", readable());
    Ok(command)
}

/// Tests in wasm read models from the workspace, and from beside it if there are any.
fn readable() -> String {
    let root = project::root();
    let parent = root.parent().map(|parent| parent.join("shared")).filter(|shared| shared.is_dir());
    let folders = [Some(root), parent].into_iter().flatten();
    folders.map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":")
}

/// The package, built once for all areas that test it.
fn package() -> Result {
    static BUILT: OnceLock<Result> = OnceLock::new();
    BUILT.get_or_init(build::package).clone()
}

fn node() -> Result {
    package()?;
    announce("types");
    run_command(tools::node()?.args(["node_modules/typescript/bin/tsc", "--project", "tests/js"]))?;
    // What it has compiled lies outside of any package; Node 18 would take it for CommonJS.
    let compiled = project::bindings().join("node_modules/.fourlane-tests");
    shell::write(&compiled.join("package.json"), br#"{ "type": "module" }"#)?;
    let tests = tests_in_bindings(".test.js")?;
    for variant in &VARIANTS {
        announce(&format!("tests in Node with {}", variant.name));
        let mut node = if variant.relaxed { tools::node_relaxed()? } else { tools::node()? };
        run_command(node.arg("--test").args(&tests).env("FOURLANE_VARIANT", variant.name))?;
    }
    Ok(())
}

fn browser() -> Result {
    package()?;
    let chromium = tools::chromium()?;
    site::assemble()?;
    announce("tests in Chromium");
    let server = Server::bind(0)?;
    let url = server.url.clone();
    std::thread::spawn(move || server.run());
    let screenshots = project::target().join("screenshots");
    shell::make_folder(&screenshots)?;
    // One after the other: they measure time.
    for file in tests_in_bindings("browser.js")? {
        let mut node = tools::node()?;
        node.env("CHROME_PATH", &chromium).env("DEMO_URL", &url).env("SCREENSHOTS", &screenshots);
        run_command(node.arg("--test").arg(file))?;
    }
    Ok(())
}

/// Tests of the package and of the demo page, by the end of their files' names.
fn tests_in_bindings(end: &str) -> Result<Vec<PathBuf>> {
    let mut files = shell::list(&project::bindings().join("tests/js"))?;
    files.extend(shell::list(&project::bindings().join("tests/demo"))?);
    Ok(files.into_iter().filter(|file| file.to_string_lossy().ends_with(end)).collect())
}

fn ecosystem() -> Result {
    package()?;
    let tests = project::bindings().join("tests/ecosystem");
    tools::npm_packages_of(&tests)?;
    announce("the package in other people's programs");
    let packed = project::target().join("ecosystem");
    shell::remove_folder(&packed)?;
    shell::make_folder(&packed)?;
    let mut pack = shell::command("npm");
    run_command(pack.args(["pack", "--silent", "--pack-destination"]).arg(&packed).arg(project::package()))?;
    let [tarball] = &shell::list(&packed)?[..] else {
        return Err(format!("`npm pack` left no single file in {}", packed.display()));
    };
    let files = shell::list(&tests)?;
    let files = files.iter().filter(|file| file.to_string_lossy().ends_with(".test.js"));
    let mut node = tools::node()?;
    // One after the other: each has a browser or a bundler that takes all cores.
    node.args(["--test", "--test-concurrency=1", "--test-timeout=600000"]).args(files);
    run_command(node.env("CHROME_PATH", tools::chromium()?).env("FOURLANE_TARBALL", tarball))
}
