//! Models written by real exporters give the outputs that were recorded for them.
//!
//! Runs over the models committed beside this file, and over the whole collection where it is checked out next to the
//! project. `FOURLANE_MODELS=substring` narrows it to some names. `recorded_outputs` prints a line of a Markdown table
//! for each model, from which `cargo xtask conformance` makes one.
//!
//! Recordings that are themselves farther from exact arithmetic than they allow are replaced by better ones in `exact/`.

use fourlane_graph::{Data, Options, Session, TensorView};
use fourlane_onnx::Folder;
use serde_json::Value;
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// As the ONNX operators say: what recordings of quantised activations were made with.
const LITERAL: Options =
    Options { optimize: true, literal: true, fast: false, integer_mode: None, expand_halves: false, threads: 0 };

fn text<'e>(entry: &'e Value, key: &str) -> &'e str {
    entry[key].as_str().unwrap_or_else(|| panic!("no {key} in {entry}"))
}

fn has_operator(entry: &Value, name: &str) -> bool {
    entry["operators"].as_array().is_some_and(|operators| operators.iter().any(|o| o == name))
}

fn is_dynamic(entry: &Value) -> bool {
    entry["precision"] == "int8-dynamic"
}

fn is_static(entry: &Value) -> bool {
    entry["precision"] == "quantised-static"
}

/// How a model is held to its recording.
fn options(entry: &Value) -> Options {
    // One of this model's texts takes last bits a thousandfold to the end: exact arithmetic is 1.4e-4 off the recording,
    // and a default session 9.1e-5 where there are no fused multiply-adds, for 5e-5 that are allowed.
    let is_unstable = text(entry, "name") == "mobilebert-e2024-tjs-bnb4";
    if is_dynamic(entry) || is_static(entry) || is_unstable { LITERAL } else { Options::default() }
}

fn collections() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Not by way of `..`, which WASI does not follow out of a folder.
    let beside = here.ancestors().nth(2).unwrap_or(here).join("shared/models/fixtures");
    [here.join("tests/models"), beside].into_iter().filter(|p| p.join("index.json").is_file()).collect()
}

enum Owned {
    I64(Vec<i64>),
    F32(Vec<f32>),
}

fn tensor(value: &Value) -> (Vec<usize>, Owned) {
    let list = |key: &str| value[key].as_array().unwrap_or_else(|| panic!("no {key} in {value}")).iter();
    let shape = list("shape").map(|d| d.as_u64().unwrap() as usize).collect();
    let data = match value["type"].as_str().unwrap() {
        "int64" => Owned::I64(list("data").map(|x| x.as_i64().unwrap()).collect()),
        "float32" | "float16" => Owned::F32(list("data").map(|x| x.as_f64().unwrap() as f32).collect()),
        other => panic!("a recorded tensor of {other}"),
    };
    (shape, data)
}

fn session(folder: &Path, name: &str, options: Options) -> Result<Session, String> {
    let bytes = std::fs::read(folder.join(format!("{name}.onnx"))).map_err(|e| e.to_string())?;
    let model = fourlane_onnx::load(bytes.into(), &Folder(folder.into())).map_err(|e| e.to_string())?;
    Session::with_options(model, options).map_err(|e| e.to_string())
}

/// The largest distance of a model's outputs from the recorded ones.
fn distance(session: &mut Session, expected: &Value) -> Result<f64, String> {
    let mut worst = 0f64;
    for case in expected["cases"].as_array().unwrap() {
        let inputs: Vec<_> = case["inputs"].as_object().unwrap().iter().map(|(n, v)| (n.as_str(), tensor(v))).collect();
        let views: Vec<_> = inputs
            .iter()
            .map(|(n, (shape, data))| {
                let data = match data {
                    Owned::I64(d) => Data::I64(d),
                    Owned::F32(d) => Data::F32(d),
                };
                (*n, TensorView { shape, data })
            })
            .collect();
        let outputs = session.run(&views).map_err(|e| e.to_string())?;
        for (name, want) in case["outputs"].as_object().unwrap() {
            let (shape, want) = tensor(want);
            let got = outputs.get(name).ok_or(format!("no output {name}"))?;
            assert_eq!(got.shape, shape);
            let (Some(got), Owned::F32(want)) = (got.data.as_f32(), want) else { panic!("not float") };
            for (g, w) in got.iter().zip(want) {
                let d = f64::from(*g) - f64::from(w);
                worst = if d.is_nan() { f64::INFINITY } else { worst.max(d.abs()) };
            }
        }
    }
    Ok(worst)
}

/// Calls `check` for every model that is wanted; the messages that it gives back are failures.
fn for_each_model(wanted: impl Fn(&Value) -> bool, check: impl Fn(&Path, &str, &Value) -> Result<(), String>) {
    let only = std::env::var("FOURLANE_MODELS").unwrap_or_default();
    let (mut failures, mut count) = (Vec::new(), 0);
    for folder in collections() {
        let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
        let index: Value = serde_json::from_str(&index).unwrap();
        for entry in index.as_array().unwrap().iter().filter(|e| wanted(e)) {
            let name = text(entry, "name");
            if name.contains(&only) {
                count += 1;
                failures.extend(check(&folder, name, entry).err().map(|e| format!("{name}: {e}")));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} models fail:\n{}", failures.len(), failures.join("\n"));
}

fn read_json(path: PathBuf) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// A better expectation than the recording, in `exact/` or a folder there.
fn exact(name: &str, folder: &str) -> Option<Value> {
    let exact = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exact").join(folder);
    read_json(exact.join(format!("{name}.expected.json")))
}

fn recording(folder: &Path, name: &str) -> Value {
    read_json(folder.join(format!("{name}.expected.json"))).expect("a recording")
}

/// How far off is good enough.
fn tolerance(entry: &Value, recorded: &Value) -> f64 {
    // As exactly as that, where the recording was made operator by operator, too.
    let is_exact = is_dynamic(entry) && recorded["reference"] == "outputs_exact";
    if is_exact { 1e-6 } else { atol(recorded) }
}

fn atol(expected: &Value) -> f64 {
    expected["atol"].as_f64().expect("a tolerance")
}

fn within(distance: f64, tolerance: f64) -> Result<(), String> {
    if distance <= tolerance { Ok(()) } else { Err(format!("off by {distance:.1e}, over {tolerance:.1e}")) }
}

/// The operators in the table are those of a session without options; to the letter there are more.
#[test]
fn recorded_outputs() {
    println!("| model | precision | operators that run | off by | allowed |");
    for_each_model(
        |_| true,
        |folder, name, entry| {
            let recorded = recording(folder, name);
            let mut session = session(folder, name, options(entry))?;
            let mut off = distance(&mut session, &recorded)?;
            if let Some(exact) = exact(name, "") {
                assert!(off > atol(&recorded), "{name} agrees with its recording: the one in exact/ is not needed");
                off = distance(&mut session, &exact)?;
            }
            let report = self::session(folder, name, Options::default())?.report();
            let operators = report.operators.into_iter().map(|(op, count)| format!("{count} {op}"));
            let operators = operators.collect::<Vec<_>>().join(", ");
            let precision = text(entry, "precision");
            println!("| {name} | {precision} | {operators} | {off:.1e} | {:.1e} |", atol(&recorded));
            within(off, tolerance(entry, &recorded))
        },
    );
}

/// What `recorded_outputs` looks at without the option, and f32 models operator by operator, as `literal` has them.
#[test]
fn recorded_outputs_of_literal_floats() {
    let wanted = |entry: &Value| !is_dynamic(entry) && !is_static(entry);
    for_each_model(wanted, |folder, name, entry| {
        let recorded = recording(folder, name);
        within(distance(&mut session(folder, name, LITERAL)?, &recorded)?, tolerance(entry, &recorded))
    });
}

/// Without options products of statically quantised tensors are exact integers. Where a product is half-way between two
/// steps that is another number than the recorded one, which was rounded in floats before: see `exact/README.md`.
#[test]
fn static_models_by_default() {
    for_each_model(is_static, |folder, name, _| {
        let recorded = recording(folder, name);
        let expected = exact(name, "default").or_else(|| exact(name, ""));
        let off = distance(&mut session(folder, name, Options::default())?, expected.as_ref().unwrap_or(&recorded))?;
        println!("{name}: off by {off:.1e}");
        within(off, atol(&recorded))
    });
}

/// Why recordings are replaced: products that saturate give them.
#[test]
#[ignore = "needs python3 with numpy and onnx"]
fn replaced_recordings_are_saturated() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exact/evaluate.py");
    for_each_model(
        |entry| exact(text(entry, "name"), "").is_some(),
        |folder, name, _| {
            let mut python = std::process::Command::new("python3");
            let status = python.arg(&script).arg("--saturate").args([folder, Path::new(name)]).status();
            if status.map_err(|e| e.to_string())?.success() { Ok(()) } else { Err("something else is wrong".into()) }
        },
    );
}

/// The same operator by operator, so that a pass cannot hide a wrong operator nor an operator a wrong pass.
#[test]
fn recorded_outputs_without_passes() {
    // MobileBERT's old exports compute the widths of a padding from constants, which only the passes do beforehand.
    let wanted = |entry: &Value| !(has_operator(entry, "Pad") && has_operator(entry, "ConstantOfShape"));
    for_each_model(wanted, |folder, name, entry| {
        let recorded = recording(folder, name);
        let mut session = session(folder, name, Options { optimize: false, ..LITERAL })?;
        let off = distance(&mut session, exact(name, "").as_ref().unwrap_or(&recorded))?;
        // That attention reads half floats is found by a pass.
        let is_half = matches!(text(entry, "precision"), "fp16" | "q4f16");
        within(off, tolerance(entry, &recorded) * if is_half { 1.25 } else { 1.0 })
    });
}

/// A text gives the same alone as in a batch where it is padded: bit for bit where padding is not computed, which goes for
/// every BERT whose attention is one operator.
#[test]
fn padding_changes_nothing() {
    const WORDS: [i64; 12] = [2, 315, 420, 12, 77, 500, 9, 33, 3, 0, 0, 0];
    const LENGTHS: [usize; 3] = [12, 9, 4];
    let run = |session: &mut Session, shape: [usize; 2], ids: &[i64], mask: &[i64]| {
        let zeros = vec![0; ids.len()];
        let names: Vec<String> = session.inputs().iter().map(|p| p.name.clone()).collect();
        let view = |name: &str| {
            let data = match name {
                "input_ids" => ids,
                "attention_mask" => mask,
                _ => &zeros,
            };
            TensorView { shape: &shape, data: Data::I64(data) }
        };
        let inputs: Vec<_> = names.iter().map(|name| (name.as_str(), view(name))).collect();
        let outputs = session.run(&inputs).map_err(|e| e.to_string())?;
        let logits = outputs.iter().next().and_then(|(_, logits)| logits.data.as_f32());
        Ok::<_, String>(logits.unwrap_or_default().to_vec())
    };
    let wanted = |entry: &Value| {
        let other_readers = match text(entry, "arch") {
            // Positions are counted by ids that are not padding, and these ids are not theirs.
            "roberta" | "xlmroberta" | "mpnet" => true,
            // A token's embedding is made of its neighbours' too, padding among them.
            "mobilebert" => true,
            // Quantised activations go into convolutions, which want one range.
            "squeezebert" => is_dynamic(entry),
            _ => false,
        };
        !other_readers
    };
    let (stacked, absorbed) = (Cell::new(0), Cell::new(0));
    for_each_model(wanted, |folder, name, _| {
        let mut session = session(folder, name, Options::default())?;
        let operators = session.report().operators;
        let has = |wanted: &str| operators.iter().any(|(op, _)| op == wanted);
        let is_stacked = has("AttentionStacked");
        let tolerance = if is_stacked { 0.0 } else { 1e-5 };
        absorbed.set(absorbed.get() + usize::from(has("AttentionAbsorbed")));
        stacked.set(stacked.get() + usize::from(is_stacked));
        let ids = WORDS.repeat(LENGTHS.len());
        let mask: Vec<i64> = LENGTHS.iter().flat_map(|&n| (0..WORDS.len()).map(move |i| i64::from(i < n))).collect();
        let batch = run(&mut session, [LENGTHS.len(), WORDS.len()], &ids, &mask)?;
        for (logits, n) in batch.chunks(batch.len() / LENGTHS.len()).zip(LENGTHS) {
            let alone = run(&mut session, [1, n], &WORDS[..n], &vec![1; n])?;
            if alone.iter().zip(logits).any(|(a, b)| (a - b).abs().is_nan() || (a - b).abs() > tolerance) {
                return Err(format!("{n} tokens: {alone:?} alone, {logits:?} padded"));
            }
        }
        Ok(())
    });
    assert!(stacked.get() > 0, "no model had its padding dropped");
    assert!(absorbed.get() > 0, "no model was spared the keys and values of its last layer");
}

/// Operators that are left where a layer normalisation, a softmax, a GELU, an attention or a linear layer was not found.
const PIECES: [&str; 13] = [
    "MatMul",
    "MatMulInteger",
    "Gemm",
    "Softmax",
    "Transpose",
    "ReduceMean",
    "Sqrt",
    "Pow",
    "Erf",
    "Tanh",
    "Relu",
    "Div",
    "Shape",
];

/// What stays in pieces, and why.
fn exceptions(entry: &Value) -> &'static [&'static str] {
    match (text(entry, "precision"), text(entry, "arch"), text(entry, "name")) {
        // Codes of 4 bits that are expanded are weights in blocks; nothing is rounded between operators.
        ("quantised-static", _, name) if name.contains("q4-qdq") => &[],
        // Sums of products of 16 and 8 bits do not fit in 32, so onnxruntime computes them in floats as well; scores, their
        // softmax and the argument of `erf` are rounded to 16 bits, which is dividing and rounding in floats.
        ("quantised-static", _, name) if name.contains("16s8") => {
            &["MatMul", "Softmax", "Transpose", "Div", "Erf", "Relu"]
        }
        // Scores are rounded to 8 bits before the mask, before the softmax and after it; to leave that out would change
        // numbers. Both products are in exact integers. Of what is written step by step, GELU is a table of bytes.
        ("quantised-static", _, name) if name.contains("op11") => {
            // A variance that is rounded after each of its steps is no layer normalisation.
            &["MatMulInteger", "Softmax", "Transpose", "Div", "ReduceMean", "Sqrt", "Pow"]
        }
        ("quantised-static", ..) => &["MatMulInteger", "Softmax", "Transpose"],
        // Scores are the sum of three products.
        (_, "deberta" | "debertav2", _) => &["MatMul", "Softmax", "Transpose", "Div"],
        // Queries and keys are turned by their positions after they are split into heads.
        (_, "modernbert", _) => &["MatMul", "Softmax", "Transpose"],
        // Relative positions, once for all layers.
        (_, "mpnet", _) => &["Div", "Transpose"],
        _ => &[],
    }
}

/// No exporter's spelling escapes the passes: layer normalisation, GELU, attention and linear layers are all fused, and
/// integer weights stay integers.
#[test]
fn everything_fuses() {
    for_each_model(
        |_| true,
        |folder, name, entry| {
            let report = session(folder, name, Options::default())?.report();
            let is_left = |op: &str| PIECES.contains(&op) && !exceptions(entry).contains(&op);
            let left: Vec<_> = report.operators.iter().filter(|(op, _)| is_left(op)).collect();
            if !left.is_empty() {
                return Err(format!("left over: {left:?}"));
            }
            let is_integer = is_dynamic(entry) || entry["precision"] == "quantised-static";
            if is_integer && report.weight_bytes as u64 > entry["bytes"].as_u64().unwrap_or(0) {
                return Err(format!("{} bytes of weights from a file of {}", report.weight_bytes, entry["bytes"]));
            }
            Ok(())
        },
    );
}
