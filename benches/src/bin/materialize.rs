//! Writes the real-size models into `target/models`, and says where they are. `cargo xtask bench --models`.

use fourlane_benches::models;
use std::process::ExitCode;

fn main() -> ExitCode {
    for name in models::NAMES {
        match models::file(name) {
            Ok(path) => println!("{}", path.display()),
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
