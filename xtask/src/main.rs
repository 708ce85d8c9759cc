//! `cargo xtask COMMAND`: everything that a person does with this project, one file a command.
//!
//! A command that needs a tool which is not there says so in one sentence with the command that brings it.

mod accuracy;
mod bench;
mod build;
mod conformance;
mod demo;
mod functions;
mod glue;
mod inspect;
mod layout;
mod opcodes;
mod project;
mod serve;
mod shell;
mod site;
mod size;
mod soak;
mod test;
mod tools;

use std::process::ExitCode;

/// What a command gives: nothing, or one sentence that says what is wrong and what would work.
type Result<T = ()> = std::result::Result<T, String>;

struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result,
}

const COMMANDS: [Command; 9] = [
    Command {
        name: "demo",
        arguments: "[TEXT] [--no-serve]",
        about: "classify TEXT, or three samples, through the wasm in Node; without TEXT also serve the demo page",
        run: demo::run,
    },
    Command {
        name: "test",
        arguments: "[native | wasm | node | browser | ecosystem]",
        about: "all tests, or one area",
        run: test::run,
    },
    Command {
        name: "build",
        arguments: "[--no-default-features] [--features bpe,unigram]",
        about: "the npm package, into bindings/pkg, with cargo features of the crate fourlane",
        run: build::run,
    },
    Command {
        name: "bench",
        arguments: "[--wasmtime | --v8] [gemm | kernels | models | pipeline] [FILTER] | --peers [--quick] | --threads | --models | --check",
        about: "the benchmarks: natively, in an engine, or side by side with other engines",
        run: bench::run,
    },
    Command {
        name: "inspect",
        arguments: "MODEL.onnx [--shape BATCH,SEQUENCE | --profile BATCH,SEQUENCE [--v8]]",
        about: "what is in a model, what the passes make of it, and where its time goes",
        run: inspect::run,
    },
    Command {
        name: "conformance",
        arguments: "",
        about: "models of real exporters against their recorded outputs, natively and in wasm, as target/conformance.md",
        run: conformance::run,
    },
    Command {
        name: "accuracy",
        arguments: "FILE.tsv [--model FOLDER] [--dtype TYPE]",
        about: "share of right labels over a file of `sentence<TAB>label` lines with a header, distance to full precision",
        run: accuracy::run,
    },
    Command {
        name: "size",
        arguments: "[--functions [--variant NAME] [FEATURES, as for build]]",
        about: "sizes of what a page downloads, held to the budgets, or where the bytes of an engine are",
        run: size::run,
    },
    Command {
        name: "soak",
        arguments: "",
        about: "whether memory stays flat over 100,000 texts and 10,000 times load and dispose",
        run: soak::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("", &[][..]),
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        print_usage();
        return if matches!(name, "" | "help" | "--help" | "-h") { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("cargo xtask {name}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn print_usage() {
    println!("usage: cargo xtask COMMAND\n");
    for command in &COMMANDS {
        println!("  {} {}\n      {}", command.name, command.arguments, command.about);
    }
}
