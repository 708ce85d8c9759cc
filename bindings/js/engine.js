// Starts the wasm module, once per page or process, and guards every call into it.
//
// Exactly one .wasm is fetched, the best that the engine runs, with threads if there can be some; only if these cannot
// be started after all, another. All sessions share its memory. If the module traps (memory exhausted, most likely) its
// state is undefined: it is replaced by a fresh instance, what lived in the old one reports that, and new pipelines and
// sessions work.

import { initSync, __wbg_reset_state as restart } from './wasm.js';
import { FourlaneError } from './errors.js';
import { read, request } from './read.js';
import { probe } from './probe.js';
import { asFolder, isNode, toUrl } from './where.js';

// One literal URL each: bundlers recognise this form and take the files along.
const FILES = {
  simd128: () => new URL('./fourlane-simd128.wasm', import.meta.url),
  relaxed: () => new URL('./fourlane-relaxed.wasm', import.meta.url),
  'simd128-threads': () => new URL('./fourlane-simd128-threads.wasm', import.meta.url),
  'relaxed-threads': () => new URL('./fourlane-relaxed-threads.wasm', import.meta.url),
};

let loading; // a promise of { variant, threads, reason }
let loaded; // what it resolved to
let asked; // options.threads of the call that decided
let threading; // threads.js, where there can be threads
let epoch = 0; // counts the instances

/** Less memory holds no model that is worth threads. */
const LEAST_MEMORY = 2 ** 25;

/** For what is to have threads; a page that cannot have any does not load the code for them. */
export function provide(threads) {
  threading = threads;
}

/** Loads the wasm module unless that has happened; resolves to `{ variant, threads, reason }`. */
export async function load(options = {}) {
  const { variant, threads, maxMemory } = options;
  if (variant !== undefined && variant !== 'simd128' && variant !== 'relaxed') {
    throw new TypeError(`options.variant must be 'simd128' or 'relaxed', got '${variant}'`);
  }
  if (threads !== undefined && !(Number.isSafeInteger(threads) && threads > 0)) {
    throw new TypeError(`options.threads must be a positive integer, got ${threads}`);
  }
  if (maxMemory !== undefined && !(Number.isSafeInteger(maxMemory) && maxMemory >= LEAST_MEMORY)) {
    throw new TypeError(`options.maxMemory must be a number of bytes, ${LEAST_MEMORY} at least, got ${maxMemory}`);
  }
  if (!loading) {
    asked = threads;
    loading = start(options).catch((error) => {
      loading = undefined; // a network failure may be gone the next time
      throw error;
    });
  }
  loaded = await loading;
  if (variant !== undefined && variant !== loaded.variant) taken(`the variant '${loaded.variant}'`, `'${variant}'`);
  if (threads !== undefined && threads !== asked && threads !== loaded.threads) {
    taken(`an engine with ${loaded.threads} threads`, `one with ${threads}`);
  }
  return info();
}

function taken(running, wanted) {
  throw new FourlaneError('load-failed', `${running} runs already, ${wanted} cannot: there is one per page or process`);
}

/** What runs and why; undefined before it does. */
export function info() {
  return loaded && { ...loaded };
}

async function start(options) {
  const again = await threading?.startAgain(loaded);
  if (again) return again;
  const choice = choose(options.variant);
  const { threads, reason } = await countThreads(options.threads);
  if (threads > 1) return threading.start(choice, threads, reason, options);
  const engine = await compiled(choice.variant, options);
  if (isThreaded(engine)) refuseThreads(engine, new Error(reason));
  begin(engine);
  return report(choice, 1, reason);
}

/** `{ threads, reason }`: the threads to use, where `wanted` (undefined if nobody said) can be had. */
function countThreads(wanted) {
  if (wanted === 1) return { threads: 1, reason: 'options.threads says so' };
  if (threading && globalThis.crossOriginIsolated !== false) return threading.countThreads(wanted);
  return { threads: 1, reason: 'this page is not cross-origin isolated, as the headers COOP and COEP would make it' };
}

/** What `load` resolves to. */
export function report({ variant, reason }, threads, why) {
  return { variant, threads, reason: `${reason}; ${threads === 1 ? 'one thread' : `${threads} threads`} (${why})` };
}

/** Starts an engine, `{ name, module, memory }`; memory is for one with threads. */
export function begin(engine) {
  try {
    initSync(engine);
  } catch (error) {
    refuse(engine.name, error);
  }
}

function refuse(name, error) {
  throw new FourlaneError('load-failed', `${name} cannot be started: ${error.message}`, { cause: error });
}

export function refuseThreads({ name }, error) {
  refuse(`${name} is a build with threads, which`, error);
}

/** Whether the module takes the memory of others: no other build imports one. */
export function isThreaded({ module }) {
  return WebAssembly.Module.imports(module).some(({ kind }) => kind === 'memory');
}

/** `{ name, module }` of one of `FILES`. */
export async function compiled(file, { wasmPath, wasmBinary }) {
  const name = `fourlane-${file}.wasm`;
  const source = wasmBinary ?? (await fetched(await locate(file, name, wasmPath)));
  if (source === undefined) {
    throw new FourlaneError('load-failed', `${name} is not at ${wasmPath ?? 'its place beside the package'}`);
  }
  return { name, module: await compile(source).catch((error) => refuse(name, error)) };
}

/** Compiles while the bytes come, if the server says what they are. */
async function compile(source) {
  if (source instanceof WebAssembly.Module) return source;
  // To ask for `Response` would make Node load all that it has for the network, which takes longer than the rest.
  if (!source.headers) return WebAssembly.compile(source);
  if (source.headers.get('content-type') === 'application/wasm') return WebAssembly.compileStreaming(source);
  return WebAssembly.compile(await source.arrayBuffer());
}

/** A Response, for the engine to compile while it comes; in Node the bytes of a file. */
function fetched(url) {
  return url.protocol === 'file:' && isNode ? read(url) : request(url);
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
async function locate(file, name, wasmPath) {
  if (wasmPath === undefined) return FILES[file]();
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
    revive();
    throw new FourlaneError(
      'crashed',
      'the engine crashed, probably for lack of memory; all that it held is lost, make new pipelines and sessions',
      { cause: thrown },
    );
  }
}

/** Errors cross the boundary of the wasm module as strings of the form `code: sentence`. */
function fromRust(thrown) {
  if (typeof thrown !== 'string') return thrown;
  const colon = thrown.indexOf(': ');
  return new FourlaneError(thrown.slice(0, colon), thrown.slice(colon + 2));
}

/** Replaces the instance, whose state is undefined. */
function revive() {
  if (threading?.revive()) loading = undefined; // threads come with the next `load`
  else restart();
}
