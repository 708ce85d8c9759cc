//! `cargo xtask demo [TEXT] [--no-serve]`: from a fresh clone to a classified sentence in one command.

use crate::serve::Server;
use crate::{Result, build, shell, site, tools};

/// Where the page is served, unless another program has the port.
const PORT: u16 = 8128;

pub fn run(arguments: &[String]) -> Result {
    let (flags, texts): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| **flag != "--no-serve") {
        return Err(format!("does not know {flag}; there is --no-serve"));
    }
    build::package()?;
    let mut node = tools::node_relaxed()?;
    shell::run(node.arg("demo/node.js").args(&texts))?;
    if !texts.is_empty() || !flags.is_empty() {
        return Ok(());
    }
    let folder = site::assemble()?;
    let server = Server::bind(PORT)?;
    println!("\nThe demo page is at {} (Ctrl-C ends it).", server.url);
    println!("It lies in {}, a folder for any static server.", folder.display());
    server.run();
    Ok(())
}
