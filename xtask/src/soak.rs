//! `cargo xtask soak`: whether memory stays flat over 100,000 texts and 10,000 times load and dispose; the tests do a tenth.

use crate::{Result, build, shell, tools};

pub fn run(arguments: &[String]) -> Result {
    if !arguments.is_empty() {
        return Err("takes no arguments".into());
    }
    build::package()?;
    let mut node = tools::node_relaxed()?;
    shell::run(node.args(["--test", "tests/js/soak.test.js"]).env("FOURLANE_SOAK", "10"))
}
