// An engine that is a wasm32-wasip1 library with the exports of benches/peers/abi. Node only.

import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

export class WasiPeer {
  /** Starts the library; `name` is for tables. */
  static async start(name, path) {
    const wasi = new WASI({ version: 'preview1' });
    const module = await WebAssembly.compile(readFileSync(path));
    const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
    wasi.initialize(instance);
    return Object.assign(new WasiPeer(), { name, wasm: instance.exports });
  }

  load(model) {
    this.#put(model);
    this.#check(this.wasm.load());
  }

  setTokens(batch, seq, ids, mask) {
    this.#put(ids, mask);
    this.#check(this.wasm.tokens(batch, seq));
  }

  setMatrix(m, k, a) {
    this.#put(a);
    this.#check(this.wasm.matrix(m, k));
  }

  run = () => this.#check(this.wasm.run());

  output() {
    const start = this.wasm.output();
    this.#check(start !== 0);
    return Array.from(new Float64Array(this.wasm.memory.buffer, start, this.wasm.output_len()));
  }

  /** A contestant that does so many operations in the fastest float loop. */
  peak(operations) {
    const rounds = Math.round(operations / this.wasm.peak_operations());
    return { name: 'FMA peak', run: () => this.wasm.peak_run(rounds) };
  }

  #put(...arrays) {
    const all = arrays.map((array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    let at = this.wasm.room(all.reduce((sum, bytes) => sum + bytes.length, 0)) >>> 0;
    for (const bytes of all) {
      new Uint8Array(this.wasm.memory.buffer).set(bytes, at);
      at += bytes.length;
    }
  }

  #check(done) {
    if (done) return;
    const length = this.wasm.message();
    const bytes = new Uint8Array(this.wasm.memory.buffer, this.wasm.message_start() >>> 0, length);
    throw new Error(`${this.name}: ${new TextDecoder().decode(bytes)}`);
  }
}
