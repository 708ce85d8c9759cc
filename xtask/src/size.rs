//! `cargo xtask size`: what a page downloads, held to the budgets.

use crate::{Result, build, project, shell};
use std::io::Write;
use std::path::Path;

/// Brotli bytes of one engine.
const ENGINE_BUDGET: usize = 100_000;
/// Brotli bytes of the JavaScript that a page loads.
const SCRIPT_BUDGET: usize = 10_000;
/// The two ways into the package, with the modules that only the other one loads, or nobody who does not ask for it.
const ENTRIES: [(&str, &[&str]); 2] = [
    ("index.js and imports", &["ort.js", "tensor.js", "profile.js"]),
    ("ort.js and imports", &["index.js", "model.js", "files.js", "transfer.js", "profile.js"]),
];

/// Bytes as they are, and as servers send them.
#[derive(Clone, Copy, Default)]
struct Size {
    raw: usize,
    gzip: usize,
    brotli: usize,
}

impl Size {
    fn of(bytes: &[u8]) -> Result<Size> {
        let fail = |error: std::io::Error| format!("compressing failed: {error}");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(bytes).map_err(fail)?;
        let mut brotli = Vec::new();
        {
            let mut writer = brotli::CompressorWriter::new(&mut brotli, 4096, 11, 24);
            writer.write_all(bytes).map_err(fail)?;
        }
        Ok(Size { raw: bytes.len(), gzip: gzip.finish().map_err(fail)?.len(), brotli: brotli.len() })
    }

    fn plus(self, other: Size) -> Size {
        Size { raw: self.raw + other.raw, gzip: self.gzip + other.gzip, brotli: self.brotli + other.brotli }
    }

    fn print(self, name: &str, budget: Option<usize>) {
        let budget = budget.map(|budget| budget.to_string()).unwrap_or_default();
        println!("{name:24} {:>9} {:>9} {:>9} {budget:>9}", self.raw, self.gzip, self.brotli);
    }
}

pub fn run(arguments: &[String]) -> Result {
    if !arguments.is_empty() {
        return Err("takes no arguments".into());
    }
    let package = project::package();
    if !package.join("wasm.js").exists() {
        build::package()?;
    }

    println!("{:24} {:>9} {:>9} {:>9} {:>9}", "file", "raw", "gzip", "brotli", "budget");
    let mut over = Vec::new();
    let mut entries = ENTRIES.map(|_| Size::default());
    for file in shell::list(&package)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let extension = file.extension().unwrap_or_default();
        if extension == "wasm" {
            let size = measure(&file)?;
            size.print(&name, Some(ENGINE_BUDGET));
            if size.brotli > ENGINE_BUDGET {
                over.push(format!("{name} by {} bytes", size.brotli - ENGINE_BUDGET));
            }
        } else if extension == "js" {
            let size = measure(&file)?;
            size.print(&name, None);
            for ((_, others), total) in ENTRIES.iter().zip(&mut entries) {
                if !others.contains(&name.as_str()) {
                    *total = total.plus(size);
                }
            }
        }
    }
    for ((name, _), total) in ENTRIES.iter().zip(&entries) {
        total.print(name, Some(SCRIPT_BUDGET));
        if total.brotli > SCRIPT_BUDGET {
            over.push(format!("{name} by {} bytes", total.brotli - SCRIPT_BUDGET));
        }
    }
    if over.is_empty() { Ok(()) } else { Err(format!("over budget: {}", over.join(", "))) }
}

fn measure(file: &Path) -> Result<Size> {
    Size::of(&shell::read(file)?)
}
