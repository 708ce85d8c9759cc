//! `cargo xtask build [--no-default-features] [--features FEATURES]`: the npm package in `bindings/pkg`, complete and
//! ready to publish.
//!
//! Four builds of the engine, with and without relaxed SIMD, with and without threads, share one JavaScript glue: a page
//! fetches one of them.
//! Each goes through cargo and wasm-bindgen (a library here, so its version is the one in Cargo.lock), has its functions
//! arranged by `layout`, and is read once more to hold it to its instruction set. wasm-opt was tried and left out: at -O3
//! and -Os the files are 7 % smaller as they are, 3 % larger in brotli bytes, and not faster; no single pass gains more
//! than 1 %. LLVM's ABI that returns pairs as two values (`experimental-mv`) is 4 % smaller, and miscompiles the
//! executor.

use crate::shell::{announce, cargo, copy_into, list, make_folder, read, remove_folder, write};
use crate::{Result, glue, layout, opcodes, project, shell, tools};
use std::path::Path;
use std::time::SystemTime;
use wasm_bindgen_cli_support::Bindgen;

/// One build of the engine.
pub struct Variant {
    /// In file names and in the JavaScript API.
    pub name: &'static str,
    /// For rustc.
    pub features: &'static str,
    /// Whether relaxed SIMD opcodes belong in it.
    pub relaxed: bool,
}

/// All builds of the engine.
pub const VARIANTS: [Variant; 2] = [
    Variant { name: "simd128", features: "-Ctarget-feature=+simd128", relaxed: false },
    Variant { name: "relaxed", features: "-Ctarget-feature=+simd128,+relaxed-simd", relaxed: true },
];

/// What a build with threads has beside its variant's features. Its memory is shared: JavaScript makes it, of a size that
/// may be less than the largest that the module allows.
const THREADS: [&str; 10] = [
    "-Ctarget-feature=+atomics,+bulk-memory,+mutable-globals",
    "-Clink-arg=--shared-memory",
    "-Clink-arg=--import-memory",
    "-Clink-arg=--initial-memory=4194304",
    "-Clink-arg=--max-memory=4294967296",
    "-Clink-arg=--export=__wasm_init_tls",
    "-Clink-arg=--export=__tls_size",
    "-Clink-arg=--export=__tls_align",
    "-Clink-arg=--export=__tls_base",
    "-Clink-arg=--export=__heap_base",
];

/// A panic is a trap at once: no message, which no page would show, nor the code that formats it, nor names of files.
const PANICS: [&str; 3] = ["-Zunstable-options", "-Cpanic=immediate-abort", "-Zlocation-detail=none"];
/// The standard library, compiled along with these flags, for size.
const STANDARD_LIBRARY: [&str; 2] = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"];

/// The files of the default model that the package takes along.
const MODEL: [&str; 5] =
    ["config.json", "tokenizer.json", "tokenizer_config.json", "README.md", "onnx/model_quantized.onnx"];

pub fn run(arguments: &[String]) -> Result {
    let known = ["--features", "--no-default-features"];
    match arguments.iter().find(|argument| argument.starts_with("--") && !known.contains(&argument.as_str())) {
        Some(flag) => Err(format!("does not know {flag}; there are {}, as of cargo", known.join(" and "))),
        None => package_with(arguments),
    }
}

/// Builds the package.
pub fn package() -> Result {
    package_with(&[])
}

/// Builds the package with cargo's arguments that choose features of the engine.
fn package_with(features: &[String]) -> Result {
    tools::rust_source()?;
    tools::npm_packages()?;
    let package = project::package();
    make_folder(&package)?;

    let all = |threads| VARIANTS.iter().map(|variant| engine(variant, threads, features, &package)).collect();
    let (single, threaded): (Result<Vec<_>>, Result<Vec<_>>) = (all(false), all(true));
    let glue = glue::merge(&single?, &threaded?)?;
    let scripts = project::target().join("scripts");
    remove_folder(&scripts)?;
    make_folder(&scripts)?;
    for file in list(&project::bindings().join("js"))? {
        copy_into(&file, &scripts)?;
        if file.extension().is_none_or(|extension| extension != "js") {
            copy_into(&file, &package)?;
        }
    }
    write(&scripts.join("wasm.js"), glue.as_bytes())?;
    shell::run(tools::node()?.arg("bundle.js").args([&scripts, &package]))?;
    for file in list(&project::root())?.into_iter().chain([project::bindings().join("README.md")]) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if file.is_file() && (name.starts_with("LICENSE") || file.starts_with(project::bindings())) {
            copy_into(&file, &package)?;
        }
    }
    default_model(&package.join("model"))?;
    link(&package, &project::bindings().join("node_modules/fourlane"))
}

/// Builds one engine into the package and gives its glue.
fn engine(variant: &Variant, threads: bool, features: &[String], package: &Path) -> Result<String> {
    let (wasm, glue) = compile(variant, threads, features, false)?;
    let file = format!("fourlane-{}.wasm", name(variant, threads));
    opcodes::check(&file, &wasm, variant, threads)?;
    write(&package.join(file), &wasm)?;
    Ok(glue)
}

/// Builds one engine, with or without the names of its functions, and gives it and its glue.
pub fn compile(variant: &Variant, threads: bool, features: &[String], names: bool) -> Result<(Vec<u8>, String)> {
    let name = name(variant, threads);
    announce(&format!("engine, {name} {}", features.join(" ")));
    let target = project::target().join(format!("wasm-{name}"));
    run_cargo(variant, threads, features, &target)?;
    let compiled = target.join("wasm32-unknown-unknown/wasm/fourlane.wasm");

    let fail = |error| format!("wasm-bindgen: {error:#}");
    let mut bindgen = Bindgen::new();
    bindgen.web(true).map_err(fail)?;
    bindgen.typescript(false).omit_default_module_path(true).reset_state_function(true);
    bindgen.remove_producers_section(true).remove_name_section(!names);
    bindgen.input_path(&compiled);
    let mut output = bindgen.generate_output().map_err(fail)?;
    let mut glue = output.js().to_owned();
    for import in output.wasm_mut().imports.iter_mut() {
        if let Some(short) = glue::without_hash(&import.name) {
            glue = glue::rename(&glue, &import.name, short)?;
            import.name = short.to_owned();
        }
    }
    Ok((layout::arrange(&output.wasm_mut().emit_wasm())?, glue))
}

/// In file names.
fn name(variant: &Variant, threads: bool) -> String {
    format!("{}{}", variant.name, if threads { "-threads" } else { "" })
}

fn run_cargo(variant: &Variant, threads: bool, features: &[String], target: &Path) -> Result {
    let mut flags = vec![variant.features];
    flags.extend(PANICS);
    flags.extend(THREADS.iter().filter(|_| threads));
    shell::run(
        cargo()
            .args(["build", "--package", "fourlane", "--lib", "--profile", "wasm"])
            .args(features)
            .args(["--features", "threads"].iter().filter(|_| threads))
            .args(["--target", "wasm32-unknown-unknown", "--target-dir"])
            .arg(target)
            .args(STANDARD_LIBRARY)
            // Both are unstable: the version of Rust is a fixed one, so they do not change under us.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")),
    )
}

/// Whether `output` was written after `input`.
fn newer(output: &Path, input: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    output.exists() && time(output) >= time(input)
}

fn default_model(folder: &Path) -> Result {
    make_folder(&folder.join("onnx"))?;
    for name in MODEL {
        let from = project::bindings().join("model").join(name);
        let to = folder.join(name);
        if !newer(&to, &from) {
            write(&to, &read(&from)?)?;
        }
    }
    Ok(())
}

/// Tests import the package by its name.
fn link(package: &Path, link: &Path) -> Result {
    if link.exists() {
        return Ok(());
    }
    if link.symlink_metadata().is_ok() {
        remove_folder(link)?;
    }
    #[cfg(unix)]
    let made = std::os::unix::fs::symlink(package, link);
    #[cfg(windows)]
    let made = std::os::windows::fs::symlink_dir(package, link);
    made.map_err(|error| format!("{} cannot be linked to the package: {error}", link.display()))
}
