//! DistilBERT at its real size: load, and runs of many shapes. `cargo xtask bench models`.
//!
//! The models are in `target/models`, where `cargo xtask bench` has written them if their graphs are at hand.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fourlane_benches::models;
use fourlane_graph::{Data, Session, TensorView};
use fourlane_onnx::NoExternalData;

/// `batch, tokens`.
const SHAPES: [[usize; 2]; 8] = [[1, 8], [1, 16], [1, 32], [1, 64], [1, 128], [1, 512], [16, 16], [16, 128]];

fn session(bytes: &bytes::Bytes) -> Session {
    let model = fourlane_onnx::load(bytes.clone(), &NoExternalData).expect("a model that loads");
    Session::new(model).expect("a model that runs")
}

fn distilbert(c: &mut Criterion) {
    for name in models::NAMES {
        let path = models::folder().join(format!("{name}.onnx"));
        let Ok(bytes) = std::fs::read(&path) else {
            eprintln!("{} is not there: not benchmarked", path.display());
            continue;
        };
        let bytes = bytes::Bytes::from(bytes);
        let mut group = c.benchmark_group(format!("distilbert-base {name}"));
        group.sample_size(10);
        group.throughput(Throughput::BytesDecimal(bytes.len() as u64));
        group.bench_function("load", |bench| bench.iter(|| session(&bytes)));
        let mut session = session(&bytes);
        for shape @ [batch, seq] in SHAPES {
            let (ids, mask) = (models::ids(batch * seq), vec![1; batch * seq]);
            let feeds = [
                ("input_ids", TensorView { shape: &shape, data: Data::I64(&ids) }),
                ("attention_mask", TensorView { shape: &shape, data: Data::I64(&mask) }),
            ];
            // Tokens a second.
            group.throughput(Throughput::Elements((batch * seq) as u64));
            group.bench_function(BenchmarkId::from_parameter(format!("{batch}x{seq}")), |bench| {
                bench.iter(|| session.run(&feeds).map(|_| ()).expect("a run"));
            });
        }
    }
}

criterion_group!(benches, distilbert);
criterion_main!(benches);
