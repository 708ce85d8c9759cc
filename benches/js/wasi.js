// `node wasi.js PROGRAM.wasm [ARGUMENTS]`: runs a wasm32-wasip1 program in V8, as cargo's runner for benchmarks.
//
// The current folder is visible as `.`, and the folders in WASI_RUNNER_DIRS (separated by `:`) and WASI_RUNNER_WRITABLE,
// where results are kept, under their own names.

import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

const [program, ...args] = process.argv.slice(2);
const { WASI_RUNNER_DIRS = '', WASI_RUNNER_WRITABLE = '' } = process.env;
const folders = [...WASI_RUNNER_DIRS.split(':'), WASI_RUNNER_WRITABLE].filter((folder) => folder !== '');
const wasi = new WASI({
  version: 'preview1',
  args: [program, ...args],
  env: process.env,
  preopens: { '.': '.', ...Object.fromEntries(folders.map((folder) => [folder, folder])) },
});
const module = await WebAssembly.compile(readFileSync(program));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
