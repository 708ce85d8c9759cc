//! `cargo xtask bench --peers [--quick]`: fourlane and other engines on the same files, in turns in one process, first in
//! Node, then in a page of Chromium. Writes `benches/RESULTS.md`. `--threads`: two threads against one alone.

use super::materialize;
use crate::build::{VARIANTS, Variant, package};
use crate::shell::{announce, cargo, command, copy_into, list, make_folder, output, read, run as run_command, write};
use crate::{Result, project, tools};
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn run(arguments: &[String]) -> Result {
    let plan = match arguments {
        [] => "full",
        [flag] if flag == "--quick" => "quick",
        _ => return Err("--peers takes --quick, or nothing".into()),
    };
    materialize()?;
    package()?;
    let node = tools::bench_node;
    let chromium = tools::chromium()?;
    tools::rust_target("wasm32-wasip1")?;
    let folder = project::target().join("bench");
    for variant in &VARIANTS {
        copy_package(&folder.join(format!("pkg-{}", variant.name)))?;
        build_peers(variant)?;
    }

    let (in_node, in_chromium) = (folder.join("node.json"), folder.join("chromium.json"));
    announce("side by side in Node");
    run_command(script(node()?, "node.js", plan, &folder).env("OUT", &in_node))?;
    announce("side by side in Chromium");
    let mut browser = script(node()?, "browser.js", plan, &folder);
    run_command(browser.env("OUT", &in_chromium).env("NODE_RESULTS", &in_node).env("CHROME_PATH", chromium))?;
    let results = project::benches().join("RESULTS.md");
    let mut report = script(node()?, "report.js", plan, &folder);
    report.env("NODE_RESULTS", in_node).env("CHROMIUM_RESULTS", in_chromium).env("OUT", &results);
    run_command(report.env("VERSIONS", versions()?))?;
    announce(&format!("written to {}", results.display()));
    compare_threads(&folder)
}

/// Two threads against one, in Node and in a page of Chromium: writes their section of `benches/RESULTS.md`.
pub fn threads(arguments: &[String]) -> Result {
    if !arguments.is_empty() {
        return Err("--threads takes nothing".into());
    }
    materialize()?;
    package()?;
    let folder = project::target().join("bench");
    copy_package(&folder.join("pkg-relaxed"))?;
    compare_threads(&folder)
}

fn compare_threads(folder: &Path) -> Result {
    copy_package(&folder.join("pkg-threads"))?;
    let (in_node, in_chromium) = (folder.join("threads-node.json"), folder.join("threads-chromium.json"));
    announce("two threads against one, in Node");
    run_command(script(tools::bench_node()?, "threads-node.js", "", folder).env("OUT", &in_node))?;
    announce("two threads against one, in Chromium");
    let mut browser = script(tools::bench_node()?, "browser.js", "threads", folder);
    run_command(browser.env("OUT", &in_chromium).env("CHROME_PATH", tools::chromium()?))?;
    let mut report = script(tools::bench_node()?, "threads-report.js", "", folder);
    report.env("NODE_RESULTS", in_node).env("CHROMIUM_RESULTS", in_chromium).env("VERSIONS", versions()?);
    run_command(report.env("OUT", project::benches().join("RESULTS.md")))
}

/// One of the programs in `benches/js`.
fn script(mut node: Command, name: &str, plan: &str, folder: &Path) -> Command {
    let shared = project::root().join("../shared");
    node.current_dir(project::benches()).arg("--no-warnings").arg(Path::new("js").join(name)).arg(plan);
    node.env("MODELS", fourlane_benches::models::folder()).env("PACKAGES", folder);
    node.env("SENTENCES", shared.join("data/sst2/dev.tsv")).env("TOKENIZER", project::bindings().join("model"));
    for variant in &VARIANTS {
        node.env(format!("PEERS_{}", variant.name.to_uppercase()), peers(variant));
    }
    node
}

/// The package without its model, as a package of its own: one runs a single engine in a process.
fn copy_package(to: &Path) -> Result {
    make_folder(to)?;
    for file in list(&project::package())?.iter().filter(|path| path.is_file()) {
        copy_into(file, to)?;
    }
    // Node reads the files as modules whatever else is in the manifest.
    write(&to.join("package.json"), br#"{ "type": "module" }"#)
}

fn peers_target(variant: &Variant) -> PathBuf {
    project::target().join(format!("peers-{}", variant.name))
}

/// Where the libraries are.
fn peers(variant: &Variant) -> PathBuf {
    peers_target(variant).join("wasm32-wasip1/release")
}

/// Rivals are built for relaxed SIMD alone, as fast as they get.
fn build_peers(variant: &Variant) -> Result {
    announce(&format!("peers, {} (minutes the first time)", variant.name));
    let mut build = cargo();
    build.current_dir(project::benches().join("peers"));
    build.args(["build", "--release", "--target", "wasm32-wasip1", "--target-dir"]).arg(peers_target(variant));
    if !variant.relaxed {
        build.args(["--package", "peer-fourlane"]);
    }
    run_command(build.env("CARGO_ENCODED_RUSTFLAGS", variant.features))
}

/// Versions of everything that is compared, as JSON.
fn versions() -> Result<String> {
    let lock = String::from_utf8_lossy(&read(&project::benches().join("peers/Cargo.lock"))?).into_owned();
    let locked = |name: &str| {
        let after = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).map(|(_, after)| after);
        after.and_then(|after| after.split('"').next()).unwrap_or("?").to_owned()
    };
    let manifest = read(&project::benches().join("node_modules/onnxruntime-web/package.json"))?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).map_err(|error| error.to_string())?;
    let git = output(command("git").args(["describe", "--always", "--dirty"]));
    let versions = serde_json::json!({
        "ort": manifest["version"],
        "rten": locked("rten"),
        "tract": locked("tract-onnx"),
        "fourlane": env!("CARGO_PKG_VERSION"),
        "commit": git.unwrap_or_else(|| "not in git".into()),
        "rustc": output(command("rustc").arg("--version")).unwrap_or_default(),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
    });
    Ok(versions.to_string())
}
