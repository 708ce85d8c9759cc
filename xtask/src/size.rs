//! `cargo xtask size`: what a page downloads, held to the budgets; with `--functions [--variant NAME]` and cargo
//! features as `build` takes them, where the bytes of an engine are.

use crate::{Result, build, functions, project, shell};
use std::io::Write;
use std::path::Path;

/// Brotli bytes of one engine: what it is to come down to.
const ENGINE_BUDGET: usize = 100_000;
/// What it may not exceed on the way there, without threads and with them. Whoever makes it smaller lowers this.
const ENGINE_LIMITS: [usize; 2] = [152_500, 166_800];
/// Brotli bytes of the JavaScript that a page loads.
const SCRIPT_BUDGET: usize = 10_000;
/// For a wrong call.
const USAGE: &str = "takes nothing, or --functions [--variant NAME] [cargo features, as `build` takes them]";
/// The ways into the package: what is loaded, besides what that imports, and whether the budget is for it. A page that is
/// cross-origin isolated loads what starts threads, too.
const ENTRIES: [(&str, &[&str], bool); 3] = [
    ("fourlane, worker, imports", &["index.js", "worker.js"], true),
    ("the same, with threads", &["index.js", "worker-threads.js", "thread.js"], false),
    ("fourlane/ort, imports", &["ort.js"], true),
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
        Ok(Size { raw: bytes.len(), gzip: gzip.finish().map_err(fail)?.len(), brotli: brotli(bytes, 11)? })
    }

    fn plus(self, other: Size) -> Size {
        Size { raw: self.raw + other.raw, gzip: self.gzip + other.gzip, brotli: self.brotli + other.brotli }
    }

    fn print(self, name: &str, budget: Option<usize>) {
        let budget = budget.map(|budget| budget.to_string()).unwrap_or_default();
        println!("{name:30} {:>9} {:>9} {:>9} {budget:>9}", self.raw, self.gzip, self.brotli);
    }
}

/// The length of `bytes` in brotli; servers send quality 11.
pub fn brotli(bytes: &[u8], quality: u32) -> Result<usize> {
    let mut compressed = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut compressed, 4096, quality, 24);
    writer.write_all(bytes).map_err(|error| format!("compressing failed: {error}"))?;
    drop(writer);
    Ok(compressed.len())
}

pub fn run(arguments: &[String]) -> Result {
    match arguments {
        [] => files(),
        [flag, options @ ..] if flag == "--functions" => functions(options),
        _ => Err(USAGE.into()),
    }
}

fn functions(options: &[String]) -> Result {
    let (name, features) = match options {
        [option, name, features @ ..] if option == "--variant" => (name.as_str(), features),
        features => ("relaxed", features),
    };
    let variant = build::VARIANTS.iter().find(|variant| variant.name == name);
    let variant = variant.ok_or_else(|| format!("no build of the engine is named `{name}`; {USAGE}"))?;
    functions::report(variant, features)
}

fn files() -> Result {
    let package = project::package();
    if !package.join("index.js").exists() {
        build::package()?;
    }

    println!("{:30} {:>9} {:>9} {:>9} {:>9}", "file", "raw", "gzip", "brotli", "budget");
    let mut over = Vec::new();
    let loaded = ENTRIES.map(|(_, files, _)| imports(&package, files));
    let mut entries = ENTRIES.map(|_| Size::default());
    for file in shell::list(&package)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let extension = file.extension().unwrap_or_default();
        if extension == "wasm" {
            let size = measure(&file)?;
            size.print(&name, Some(ENGINE_BUDGET));
            let limit = ENGINE_LIMITS[usize::from(name.contains("threads"))];
            if size.brotli > limit {
                over.push(format!("{name} by {} bytes over the {limit} of today", size.brotli - limit));
            }
        } else if extension == "js" {
            let size = measure(&file)?;
            size.print(&name, None);
            for (loaded, total) in loaded.iter().zip(&mut entries) {
                if loaded.as_ref().map_err(Clone::clone)?.contains(&name) {
                    *total = total.plus(size);
                }
            }
        }
    }
    for ((name, _, is_held), total) in ENTRIES.iter().zip(&entries) {
        let budget = is_held.then_some(SCRIPT_BUDGET);
        total.print(name, budget);
        if let Some(more) = budget.and_then(|budget| total.brotli.checked_sub(budget + 1)) {
            over.push(format!("{name} by {} bytes", more + 1));
        }
    }
    if over.is_empty() { Ok(()) } else { Err(format!("over budget: {}", over.join(", "))) }
}

fn measure(file: &Path) -> Result<Size> {
    Size::of(&shell::read(file)?)
}

/// Names of files and of all that they import, but for what is imported when it is asked for.
fn imports(package: &Path, files: &[&str]) -> Result<Vec<String>> {
    let mut names: Vec<String> = files.iter().map(|name| name.to_string()).collect();
    let mut next = 0;
    while let Some(name) = names.get(next) {
        let script = String::from_utf8_lossy(&shell::read(&package.join(name))?).into_owned();
        for part in ["from\"./", "import\"./"].iter().flat_map(|before| script.split(before).skip(1)) {
            let name = part.split('"').next().unwrap_or_default();
            if name.ends_with(".js") && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        next += 1;
    }
    Ok(names)
}
