//! `cargo xtask accuracy FILE.tsv`: how often the built package is right, in Node, as a page would use it.

use crate::{Result, build, shell, tools};
use std::path::Path;

pub fn run(arguments: &[String]) -> Result {
    let (file, model) = match arguments {
        [file] => (file, None),
        [file, flag, model] if flag == "--model" => (file, Some(model)),
        _ => return Err("give one file of `sentence<TAB>label` lines, and optionally --model FOLDER".into()),
    };
    build::package()?;
    let mut node = tools::node_relaxed()?;
    node.arg("tests/js/accuracy.js").arg(absolute(file)?);
    if let Some(model) = model {
        node.arg(absolute(model)?);
    }
    shell::run(&mut node)
}

/// Node starts in another folder.
fn absolute(path: &str) -> Result<std::path::PathBuf> {
    std::path::absolute(Path::new(path)).map_err(|error| format!("{path}: {error}"))
}
