//! The default model from text to label. `cargo xtask bench`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fourlane::{Files, Options, TextClassifier};
use std::path::Path;

fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings/model").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn classifier() -> TextClassifier {
    let (tokenizer, config) = (read("tokenizer.json"), read("config.json"));
    let files = Files { tokenizer: Some(&tokenizer), config: Some(&config), ..Files::default() };
    TextClassifier::new(read("onnx/model_quantized.onnx").into(), &files).expect("the default model")
}

fn classify(c: &mut Criterion) {
    let mut classifier = classifier();
    let mut group = c.benchmark_group("classify");
    group.sample_size(10);
    for words in [8, 32, 128] {
        let text = vec!["good"; words].join(" ");
        group.bench_function(BenchmarkId::new("words", words), |bench| {
            bench.iter(|| classifier.classify(&[&text], &Options::default()));
        });
    }
}

fn tokenize(c: &mut Criterion) {
    let classifier = classifier();
    let text = "An absolute masterpiece, beautifully shot and quietly devastating. ".repeat(100);
    c.bench_function("tokenize 7 kB", |bench| bench.iter(|| classifier.tokenizer().encode(&text, None, usize::MAX)));
}

fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    group.sample_size(10);
    group.bench_function("default model", |bench| bench.iter(classifier));
}

criterion_group!(benches, classify, tokenize, load);
criterion_main!(benches);
