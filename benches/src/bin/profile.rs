//! `profile MODEL.onnx SIZE...`: where the time of a run goes. `cargo xtask inspect MODEL.onnx --profile SIZES --v8` has it
//! compiled to WebAssembly and run in Node; the sizes are those of the free dimensions, in the order of the inputs.

use fourlane_benches::{models, profile};
use fourlane_graph::ir::PortDim;
use fourlane_graph::{Options, Session};
use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Err(message) = run(&arguments) {
        eprintln!("{message}");
        std::process::exit(1);
    }
}

fn run(arguments: &[String]) -> models::Result<()> {
    let Some((path, sizes)) = arguments.split_first() else { return Err("usage: profile MODEL.onnx SIZE...".into()) };
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let folder = fourlane_onnx::Folder(Path::new(path).parent().unwrap_or(Path::new("")).into());
    let model = fourlane_onnx::load(bytes.into(), &folder).map_err(|error| error.to_string())?;
    let mut names: Vec<String> = Vec::new();
    for dim in model.inputs.iter().flat_map(|port| port.dims.iter().flatten()) {
        match dim {
            PortDim::Symbol(name) if !names.contains(name) => names.push(name.clone()),
            _ => {}
        }
    }
    let sizes: Vec<usize> = sizes.iter().filter_map(|size| size.parse().ok()).collect();
    if sizes.len() != names.len() {
        return Err(format!("give the sizes of {}", names.join(", ")));
    }
    let sizes: Vec<(&str, usize)> = names.iter().map(String::as_str).zip(sizes).collect();
    let mut session = Session::with_options(model, Options::default()).map_err(|error| error.to_string())?;
    profile::print(&mut session, &sizes)
}
