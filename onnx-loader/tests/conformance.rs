//! Models written by real exporters give the outputs that were recorded for them.
//!
//! Runs over the models committed beside this file, and over the whole collection where it is checked out next to the
//! project. `FOURLANE_MODELS=substring` narrows it to some names.

use fourlane_graph::{Data, Options, Session, TensorView};
use fourlane_onnx::Folder;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Architectures that are BERT in everything that matters here.
const BERTS: [&str; 7] = ["distilbert", "bert", "minilm", "electra", "roberta", "xlmroberta", "albert"];

/// What is refused, or not held to its outputs: DeBERTa's disentangled attention and ModernBERT's rotary embedding.
const OTHERS: [&str; 3] = ["deberta", "debertav2", "modernbert"];

fn is_covered(entry: &Value) -> bool {
    entry["arch"].as_str().is_some_and(|arch| !OTHERS.contains(&arch))
}

/// As the ONNX operators say: what the recordings were made with.
const LITERAL: Options = Options { optimize: true, literal: true, fast: false, integer_mode: None };

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

/// Calls `check` for every covered model; the messages that it gives back are failures.
fn for_each_model(wanted: impl Fn(&Value) -> bool, check: impl Fn(&Path, &str) -> Result<(), String>) {
    let only = std::env::var("FOURLANE_MODELS").unwrap_or_default();
    let (mut failures, mut count) = (Vec::new(), 0);
    for folder in collections() {
        let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
        let index: Value = serde_json::from_str(&index).unwrap();
        for entry in index.as_array().unwrap().iter().filter(|e| is_covered(e) && wanted(e)) {
            let name = entry["name"].as_str().unwrap();
            if name.contains(&only) {
                count += 1;
                failures.extend(check(&folder, name).err().map(|e| format!("{name}: {e}")));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} models fail:\n{}", failures.len(), failures.join("\n"));
    assert!(count > 0 || !only.is_empty(), "no models found");
}

fn check_outputs(folder: &Path, name: &str, options: Options) -> Result<(), String> {
    let expected = std::fs::read_to_string(folder.join(format!("{name}.expected.json"))).map_err(|e| e.to_string())?;
    let expected: Value = serde_json::from_str(&expected).map_err(|e| e.to_string())?;
    let atol = expected["atol"].as_f64().unwrap();
    let distance = distance(&mut session(folder, name, options)?, &expected)?;
    println!("{name}: {distance:.1e}");
    if distance <= atol { Ok(()) } else { Err(format!("off by {distance:.1e}, over {atol:.1e}")) }
}

#[test]
fn recorded_outputs() {
    for_each_model(|_| true, |folder, name| check_outputs(folder, name, LITERAL));
}

/// The same operator by operator, so that a pass cannot hide a wrong operator nor an operator a wrong pass.
#[test]
fn recorded_outputs_without_passes() {
    for_each_model(|_| true, |folder, name| check_outputs(folder, name, Options { optimize: false, ..LITERAL }));
}

/// A text gives the same alone as in a batch where it is padded.
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
    // RoBERTa's family counts positions by ids that are not padding, and these ids are not its.
    let wanted =
        |entry: &Value| entry["arch"] != "roberta" && entry["arch"] != "xlmroberta" && entry["arch"] != "mpnet";
    for_each_model(wanted, |folder, name| {
        let mut session = session(folder, name, Options::default())?;
        let ids = WORDS.repeat(LENGTHS.len());
        let mask: Vec<i64> = LENGTHS.iter().flat_map(|&n| (0..WORDS.len()).map(move |i| i64::from(i < n))).collect();
        let batch = run(&mut session, [LENGTHS.len(), WORDS.len()], &ids, &mask)?;
        for (logits, n) in batch.chunks(batch.len() / LENGTHS.len()).zip(LENGTHS) {
            let alone = run(&mut session, [1, n], &WORDS[..n], &vec![1; n])?;
            if alone.iter().zip(logits).any(|(a, b)| (a - b).abs().is_nan() || (a - b).abs() > 1e-4) {
                return Err(format!("{n} tokens: {alone:?} alone, {logits:?} padded"));
            }
        }
        Ok(())
    });
}

/// No exporter's spelling escapes the passes: layer normalisation, GELU, attention and linear layers are all fused.
#[test]
fn everything_fuses() {
    let unfused = [
        "MatMul",
        "Gemm",
        "Softmax",
        "Transpose",
        "ReduceMean",
        "Sqrt",
        "Pow",
        "Erf",
        "Tanh",
        "Relu",
        "Gelu",
        "Div",
        "Shape",
    ];
    // MPNet turns its relative positions, SqueezeBERT its channels.
    let wanted = |entry: &Value| entry["arch"].as_str().is_some_and(|arch| BERTS.contains(&arch));
    for_each_model(wanted, |folder, name| {
        let left: Vec<_> = session(folder, name, Options::default())?.report().operators;
        let left: Vec<_> = left.into_iter().filter(|(op, _)| unfused.contains(&op.as_str())).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("left over: {left:?}")) }
    });
}
