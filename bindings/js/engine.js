// Starts the wasm module, once per page or process, and guards every call into it.
//
// Exactly one .wasm is fetched, the best that the engine runs. All sessions share its memory. If the module traps
// (memory exhausted, most likely) its state is undefined: it is replaced by a fresh instance, what lived in the old
// one reports that, and new pipelines and sessions work.

import { initSync, __wbg_reset_state as restart } from './wasm.js';
import { FourlaneError, fromRust } from './errors.js';
import { read, request } from './read.js';
import { probe } from './probe.js';
import { asFolder, isNode, toUrl } from './where.js';

// One literal URL each: bundlers recognise this form and take the files along.
const FILES = {
  simd128: () => new URL('./fourlane-simd128.wasm', import.meta.url),
  relaxed: () => new URL('./fourlane-relaxed.wasm', import.meta.url),
};

let loading; // a promise of { variant, reason }
let loaded; // what it resolved to
let epoch = 0; // counts the instances

/** Loads the wasm module unless that has happened; resolves to `{ variant, reason }`. */
export async function load(options = {}) {
  if (options.variant !== undefined && !Object.hasOwn(FILES, options.variant)) {
    throw new TypeError(`options.variant must be 'simd128' or 'relaxed', got '${options.variant}'`);
  }
  loading ??= start(options).catch((error) => {
    loading = undefined; // a network failure may be gone the next time
    throw error;
  });
  loaded = await loading;
  if (options.variant !== undefined && options.variant !== loaded.variant) {
    throw new FourlaneError(
      'load-failed',
      `the variant '${loaded.variant}' runs already, '${options.variant}' cannot: there is one per page or process`,
    );
  }
  return info();
}

/** What runs and why; undefined before it does. */
export function info() {
  return loaded && { ...loaded };
}

async function start({ variant, wasmPath, wasmBinary }) {
  const choice = choose(variant);
  const name = `fourlane-${choice.variant}.wasm`;
  const source = wasmBinary ?? (await fetched(await locate(choice.variant, name, wasmPath)));
  if (source === undefined) {
    throw new FourlaneError('load-failed', `${name} is not at ${wasmPath ?? 'its place beside the package'}`);
  }
  try {
    initSync({ module: await compile(source) });
  } catch (error) {
    throw new FourlaneError('load-failed', `${name} cannot be started: ${error.message}`, { cause: error });
  }
  return choice;
}

/** A Response, for the engine to compile while it comes. */
function fetched(url) {
  return url.protocol === 'file:' && isNode ? read(url) : request(url);
}

/** Compiles while the bytes come, if the server says what they are. */
async function compile(source) {
  if (source instanceof WebAssembly.Module) return source;
  if (!(source instanceof Response)) return WebAssembly.compile(source);
  if (source.headers.get('content-type') === 'application/wasm') return WebAssembly.compileStreaming(source);
  return WebAssembly.compile(await source.arrayBuffer());
}

function choose(wanted) {
  const found = probe();
  if (found.variant === undefined) {
    throw new FourlaneError(
      'unsupported-engine',
      `${found.reason}, which fourlane needs: Chrome 91, Firefox 89, Safari 16.4 and Node 16.4 are the first with it`,
    );
  }
  if (wanted === 'relaxed' && found.variant !== 'relaxed') {
    throw new FourlaneError('unsupported-engine', "the variant 'relaxed' needs relaxed SIMD, which this engine lacks");
  }
  return wanted === undefined ? found : { variant: wanted, reason: 'options.variant says so' };
}

/** `wasmPath` is the file itself or the folder that has it. */
async function locate(variant, name, wasmPath) {
  if (wasmPath === undefined) return FILES[variant]();
  const url = await toUrl(wasmPath);
  return url.pathname.endsWith('.wasm') ? url : new URL(name, asFolder(url));
}

/** Owns one object inside the wasm memory: every use goes through here. */
export class Owned {
  #object;
  #what;
  #epoch = epoch;

  /** `what` names the thing in messages. */
  constructor(what, make) {
    this.#what = what;
    this.#object = guard(make);
  }

  use(call) {
    if (this.#object === undefined) {
      throw new FourlaneError('disposed', `this ${this.#what} was disposed; make a new one`);
    }
    if (this.#epoch !== epoch) {
      throw new FourlaneError('crashed', `this ${this.#what} was lost when the engine crashed; make a new one`);
    }
    return guard(() => call(this.#object));
  }

  /** Gives the object away, to a call that consumes it. */
  take() {
    return this.use((object) => {
      this.#object = undefined;
      return object;
    });
  }

  free() {
    if (this.#epoch === epoch) this.#object?.free();
    this.#object = undefined;
  }
}

function guard(call) {
  try {
    return call();
  } catch (thrown) {
    // A stack overflow is a RangeError, every other trap a RuntimeError.
    if (!(thrown instanceof WebAssembly.RuntimeError || thrown instanceof RangeError)) throw fromRust(thrown);
    epoch += 1;
    restart();
    throw new FourlaneError(
      'crashed',
      'the engine crashed, probably for lack of memory; all that it held is lost, make new pipelines and sessions',
      { cause: thrown },
    );
  }
}
