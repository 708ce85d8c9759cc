//! `cargo xtask accuracy FILE.tsv [--model FOLDER] [--dtype TYPE]`: how often the built package is right, in Node, as a
//! page would use it.

use crate::{Result, build, shell, tools};
use std::path::Path;

pub fn run(arguments: &[String]) -> Result {
    let usage =
        || Err("give one file of `sentence<TAB>label` lines, optionally --model FOLDER and --dtype TYPE".into());
    let [file, options @ ..] = arguments else { return usage() };
    let mut model = Vec::new();
    for pair in options.chunks(2) {
        match pair {
            [flag, folder] if flag == "--model" => model.extend([flag.into(), absolute(folder)?]),
            [flag, dtype] if flag == "--dtype" => model.extend([flag.into(), dtype.into()]),
            _ => return usage(),
        }
    }
    build::package()?;
    let mut node = tools::node_relaxed()?;
    shell::run(node.arg("tests/js/accuracy.js").arg(absolute(file)?).args(model))
}

/// Node starts in another folder.
fn absolute(path: &str) -> Result<std::path::PathBuf> {
    std::path::absolute(Path::new(path)).map_err(|error| format!("{path}: {error}"))
}
