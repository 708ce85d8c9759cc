//! `cargo xtask inspect MODEL.onnx [--shape BATCH,SEQUENCE | --profile BATCH,SEQUENCE [--v8]]`: what is in a
//! model, what the passes make of it, and where its time goes, natively or in V8.
//!
//! The sizes after `--shape` are those of the inputs' free dimensions, in the order in which the inputs name them.

use crate::{Result, bench, shell};
use bytes::Bytes;
use fourlane_benches::profile;
use fourlane_graph::Session;
use fourlane_graph::ir::{Model, Port, PortDim};
use std::path::{Path, PathBuf};

pub fn run(arguments: &[String]) -> Result {
    let (file, shape) = match arguments {
        [file, flag, shape, engine] if flag == "--profile" && engine == "--v8" => {
            return bench::profile(file, &parse_shape(shape)?);
        }
        [file] => (file, None),
        [file, flag, shape] if flag == "--shape" || flag == "--profile" => (file, Some((flag, parse_shape(shape)?))),
        _ => {
            return Err(
                "give one ONNX file, and optionally --shape BATCH,SEQUENCE or --profile BATCH,SEQUENCE [--v8]".into()
            );
        }
    };
    let path = Path::new(file);
    let bytes = Bytes::from(shell::read(path)?);
    print_file(&bytes)?;

    let folder = fourlane_onnx::Folder(path.parent().map_or_else(PathBuf::new, PathBuf::from));
    let model = fourlane_onnx::load(bytes, &folder).map_err(|error| error.to_string())?;
    print_ports(&model);
    let sizes = match &shape {
        Some((_, shape)) => Some(sizes(&model, shape)?),
        None => None,
    };

    let mut session = Session::new(model).map_err(|error| error.to_string())?;
    let report = session.report();
    println!("rewrites     {}", counts(report.passes.iter().copied()));
    println!("runs as      {}", counts(report.operators.iter().map(|(name, count)| (name.as_str(), *count))));
    println!("in memory    {} bytes of weights", report.weight_bytes);
    if let (Some(sizes), Some((flag, _))) = (&sizes, &shape) {
        let sizes: Vec<(&str, usize)> = sizes.iter().map(|(name, size)| (name.as_str(), *size)).collect();
        let report = session.shape_report(&sizes).map_err(|error| error.to_string())?;
        let names: Vec<String> = sizes.iter().map(|(name, size)| format!("{name} {size}")).collect();
        println!("for {}: {} steps, {} bytes of arena", names.join(", "), report.steps, report.arena_bytes);
        if *flag == "--profile" {
            profile::print(&mut session, &sizes)?;
        }
    }
    Ok(())
}

/// Gives each free dimension its size.
fn sizes(model: &Model, shape: &[usize]) -> Result<Vec<(String, usize)>> {
    let mut names: Vec<String> = Vec::new();
    for dim in model.inputs.iter().filter_map(|port| port.dims.as_ref()).flatten() {
        if let PortDim::Symbol(name) = dim
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    if names.len() != shape.len() {
        let free = names.join(", ");
        return Err(format!("give {} sizes: the free dimensions are {free}", names.len()));
    }
    Ok(names.into_iter().zip(shape.iter().copied()).collect())
}

fn parse_shape(text: &str) -> Result<Vec<usize>> {
    let numbers: std::result::Result<Vec<usize>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    numbers.map_err(|_| format!("a shape is numbers such as 1,128, got {text}"))
}

/// What the file says of itself; works for files that do not load, too.
fn print_file(bytes: &Bytes) -> Result {
    let summary = fourlane_onnx::summarize(bytes).map_err(|error| error.to_string())?;
    println!("made by      {}", summary.producer);
    let opsets = summary.opsets.iter().map(|(domain, version)| match domain.as_str() {
        "" => format!("ai.onnx {version}"),
        _ => format!("{domain} {version}"),
    });
    println!("opsets       {}", opsets.collect::<Vec<_>>().join(", "));
    println!("file         {} bytes", bytes.len());
    for weights in &summary.weights {
        let external =
            if weights.external > 0 { format!(", {} in other files", weights.external) } else { String::new() };
        println!(
            "weights      {:8} {:>12} elements, {:>12} bytes, in {} tensors{external}",
            weights.dtype,
            weights.elements,
            weights.elements.saturating_mul(bits(weights.dtype)).div_ceil(8),
            weights.tensors
        );
    }
    println!("operators    {}", counts(summary.operators.iter().map(|(name, count)| (name.as_str(), *count))));
    Ok(())
}

/// Size of an element of a type, by ONNX's name for it; 0 for types without one, such as strings.
fn bits(dtype: &str) -> u64 {
    match dtype {
        "complex128" => 128,
        "double" | "int64" | "uint64" | "complex64" => 64,
        "float" | "int32" | "uint32" => 32,
        "float16" | "bfloat16" | "int16" | "uint16" => 16,
        "int8" | "uint8" | "bool" => 8,
        "int4" | "uint4" | "float4e2m1" => 4,
        other if other.starts_with("float8") => 8,
        _ => 0,
    }
}

fn print_ports(model: &Model) {
    for (what, ports) in [("input", &model.inputs), ("output", &model.outputs)] {
        for port in ports {
            println!("{what:12} {} {} [{}]", port.name, port.dtype.name(), dimensions(port));
        }
    }
}

fn dimensions(port: &Port) -> String {
    let Some(dims) = &port.dims else { return "?".into() };
    let names = dims.iter().map(|dim| match dim {
        PortDim::Fixed(size) => size.to_string(),
        PortDim::Symbol(name) => name.clone(),
    });
    names.collect::<Vec<_>>().join(", ")
}

fn counts<'a>(items: impl Iterator<Item = (&'a str, usize)>) -> String {
    items.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
