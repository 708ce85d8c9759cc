//! Runs a `wasm32-wasip1` program with arguments, environment and standard streams passed through.
//!
//! Cargo calls it as the target's runner: `wasi-runner test.wasm [arguments]`. It is a crate of its own because
//! wasmtime takes minutes to build and only `cargo xtask test wasm` needs it.
//!
//! Tests read model files, so each folder named in `WASI_RUNNER_DIRS` (separated by `:`) is visible inside under the
//! same path, read-only. The current directory is visible and writable as `.`: proptest keeps failing seeds there.

use std::process::ExitCode;
use wasmtime::{Config, Engine, Error, Linker, Module, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wasi-runner: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(program) = args.first() else {
        eprintln!("usage: wasi-runner PROGRAM.wasm [ARGUMENTS]");
        return Ok(ExitCode::from(2));
    };

    let mut config = Config::new();
    config.wasm_relaxed_simd(true);
    let engine = Engine::new(&config)?;
    let module = Module::from_file(&engine, program)?;

    let mut linker: Linker<WasiP1Ctx> = Linker::new(&engine);
    p1::add_to_linker_sync(&mut linker, |context| context)?;

    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio().inherit_env().args(&args);
    wasi.preopened_dir(".", ".", FsPerms::ReadWrite)?;
    let folders = std::env::var("WASI_RUNNER_DIRS").unwrap_or_default();
    for folder in folders.split(':').filter(|folder| !folder.is_empty()) {
        wasi.preopened_dir(folder, folder, FsPerms::ReadOnly)?;
    }
    if let Ok(folder) = std::env::var("WASI_RUNNER_WRITABLE") {
        wasi.preopened_dir(&folder, &folder, FsPerms::ReadWrite)?;
    }
    let mut store = Store::new(&engine, wasi.build_p1());

    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    match start.call(&mut store, ()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => Ok(ExitCode::from(u8::try_from(exit.0).unwrap_or(1))),
            None => Err(error),
        },
    }
}
