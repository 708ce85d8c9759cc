//! Where things are.

use std::path::PathBuf;

/// The root of the workspace.
pub fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}

/// The npm side: sources, tests, tools.
pub fn bindings() -> PathBuf {
    root().join("bindings")
}

/// The benchmarks.
pub fn benches() -> PathBuf {
    root().join("benches")
}

/// The npm package as built.
pub fn package() -> PathBuf {
    bindings().join("pkg")
}

/// Cargo's output folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}
