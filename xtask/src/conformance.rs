//! `cargo xtask conformance`: how far models of real exporters are off their recorded outputs, in every engine.
//!
//! The test `recorded_outputs` of the loader prints a table row for each model: `| model | precision | operators that run
//! | off by | allowed |`. It runs natively and in WebAssembly, from the binaries that `cargo xtask test` builds too, and
//! the rows are put side by side.

use crate::build::VARIANTS;
use crate::shell::{announce, capture, cargo, write};
use crate::{Result, project, test};
use std::collections::BTreeMap;
use std::fmt::Write;

/// One model.
#[derive(Default)]
struct Row {
    precision: String,
    operators: String,
    allowed: String,
    /// Natively, then for each variant.
    off_by: Vec<String>,
}

impl Row {
    /// The largest error in units of what is allowed.
    fn worst(&self) -> f64 {
        let number = |text: &String| text.parse().unwrap_or(f64::INFINITY);
        self.off_by.iter().map(number).fold(0.0, f64::max) / number(&self.allowed)
    }
}

const COMMON: [&str; 4] = ["--package", "fourlane-onnx", "--test", "conformance"];
const FILTER: [&str; 4] = ["--", "recorded_outputs", "--exact", "--nocapture"];

pub fn run(arguments: &[String]) -> Result {
    if !arguments.is_empty() {
        return Err("takes no arguments".into());
    }
    let mut rows = BTreeMap::new();
    announce("native");
    let (output, mut result) = capture(cargo().arg("test").args(COMMON).args(FILTER))?;
    collect(&output, &mut rows);
    for variant in &VARIANTS {
        announce(variant.name);
        let (output, passed) = capture(test::in_wasm(variant)?.args(COMMON).args(FILTER))?;
        collect(&output, &mut rows);
        result = result.and(passed);
    }
    if rows.is_empty() {
        result?;
        return Err("the test printed no table; see whether onnx-loader/tests/models has its index.json".into());
    }
    let path = project::target().join("conformance.md");
    write(&path, table(&rows).as_bytes())?;
    print!("{}", summary(&rows));
    println!("\nall {} models: {}", rows.len(), path.display());
    result
}

/// Adds an engine's rows. A model that is in two folders shows up twice and counts once.
fn collect(output: &str, rows: &mut BTreeMap<String, Row>) {
    let mut seen = BTreeMap::new();
    for line in output.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", name, precision, operators, off_by, allowed, ""] = cells[..]
            && allowed != "allowed"
        {
            seen.insert(name, [precision, operators, off_by, allowed].map(String::from));
        }
    }
    for (name, [precision, operators, off_by, allowed]) in seen {
        let row = rows.entry(name.into()).or_default();
        (row.precision, row.operators, row.allowed) = (precision, operators, allowed);
        row.off_by.push(off_by);
    }
}

fn table(rows: &BTreeMap<String, Row>) -> String {
    let engines: Vec<&str> = std::iter::once("native").chain(VARIANTS.iter().map(|variant| variant.name)).collect();
    let mut text = format!("| model | precision | operators that run | {} | allowed |\n", engines.join(" | "));
    text += &"|---".repeat(4 + engines.len());
    text += "|\n";
    for (name, row) in rows {
        let Row { precision, operators, allowed, off_by } = row;
        let _ = writeln!(text, "| {name} | {precision} | {operators} | {} | {allowed} |", off_by.join(" | "));
    }
    text
}

/// A line for each precision: how many models, and the one that comes closest to what is allowed.
fn summary(rows: &BTreeMap<String, Row>) -> String {
    let mut classes: BTreeMap<&str, Vec<(&str, &Row)>> = BTreeMap::new();
    for (name, row) in rows {
        classes.entry(&row.precision).or_default().push((name, row));
    }
    let mut text =
        String::from("| precision | models | worst error / allowed | median | in |\n|---|---|---|---|---|\n");
    for (precision, mut models) in classes {
        models.sort_by(|(_, a), (_, b)| a.worst().total_cmp(&b.worst()));
        let (count, median) = (models.len(), models[models.len() / 2].1.worst());
        if let Some((name, row)) = models.last() {
            let _ = writeln!(text, "| {precision} | {count} | {:.2} | {median:.1e} | {name} |", row.worst());
        }
    }
    text
}
