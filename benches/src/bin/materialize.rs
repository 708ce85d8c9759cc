//! Writes the real-size models into `target/models`, and those that are one product. `cargo xtask bench --models`.

use fourlane_benches::{models, product};
use std::process::ExitCode;

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> models::Result {
    for name in models::NAMES {
        println!("{}", models::file(name)?.display());
    }
    for shape @ [k, n] in product::SHAPES {
        for (kind, integers) in [("f32", false), ("int8", true)] {
            let path = models::folder().join(format!("product-{kind}-{k}x{n}.onnx"));
            std::fs::write(&path, product::model(shape, integers)).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    Ok(())
}
