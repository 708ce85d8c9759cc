//! Whole models as exporters write them, converted.
//!
//! `tests/models` is committed. A larger collection may lie beside the repository; then all of it must either load or
//! name the operators that are missing, and never panic.

use bytes::Bytes;
use fourlane_onnx::{Folder, LoadError, load, summarize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Paths of the models in a folder, sorted.
fn models(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Bytes {
    std::fs::read(path).unwrap().into()
}

#[test]
fn committed_models_load() {
    let folder = here("tests/models");
    let paths = models(&folder);
    assert!(!paths.is_empty());
    for path in paths {
        let file = read(&path);
        let model = load(file.clone(), &Folder(folder.clone())).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(!model.nodes.is_empty() && !model.inputs.is_empty() && model.outputs[0].name == "logits");
        let summary = summarize(&file).unwrap();
        assert!(summary.operators.iter().any(|(name, _)| name.contains("MatMul")));
    }
}

/// Families and precisions of the large collection that must load completely.
fn must_load(line: &str) -> bool {
    let arch = ["distilbert", "bert", "minilm", "electra"];
    line.contains(r#""precision": "fp32""#) && arch.iter().any(|a| line.contains(&format!(r#""arch": "{a}""#)))
}

#[test]
fn collection_loads_or_says_what_is_missing() {
    let folder = here("../../shared/models/fixtures");
    let Ok(index) = std::fs::read_to_string(folder.join("index.json")) else {
        println!("skipped: {} is not there", folder.display());
        return;
    };
    let (mut loaded, mut required) = (0, 0);
    let mut missing: BTreeMap<String, usize> = BTreeMap::new();
    for path in models(&folder) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let line = index.lines().find(|line| line.contains(&format!(r#""name": "{name}""#))).unwrap();
        match load(read(&path), &Folder(folder.clone())) {
            Ok(_) => {
                loaded += 1;
                required += usize::from(must_load(line));
            }
            Err(error) if must_load(line) => panic!("{name}: {error}"),
            Err(LoadError::UnsupportedOperators(operators)) => {
                for operator in operators {
                    *missing.entry(format!("{} {}", operator.operator, operator.reason)).or_default() += 1;
                }
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    println!("{loaded} models load, among them all {required} that must; what the others lack, in how many models:");
    for (operator, count) in missing {
        println!("{count:4} {operator}");
    }
    assert!(required > 0);
}
