//! `cargo xtask bench`: the benchmarks, with any arguments passed on to them.

use crate::{Result, shell};

pub fn run(arguments: &[String]) -> Result {
    shell::run(shell::cargo().args(["bench", "--package", "fourlane-benches"]).args(arguments))
}
