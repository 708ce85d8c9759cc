// The part of onnxruntime-web's API that text models use, over this engine: a page changes its import line, and
// transformers.js takes it from `globalThis[Symbol.for('onnxruntime')]`.
//
// Checks and messages follow onnxruntime's, as far as code in the field leans on them. What makes no sense here is
// accepted; of that, what a program might count on is told by `info().ignored`.

import * as disk from './disk.js';
import { info, load, provide } from './engine.js';
import { FourlaneError } from './errors.js';
import { isShared, provideFiles, read, toBytes, within } from './read.js';
import { Tensor, isTensor } from './tensor.js';
import * as threads from './threads.js';
import { Session } from './wasm.js';
import { assemble, newIntake, sessionOptions, toInfo } from './weights.js';
import { kind, toUrl } from './where.js';

export { FourlaneError, Tensor };

provide(threads);
provideFiles(disk);

/** Settings of onnxruntime; see ort.d.ts for those that have an effect. */
export const env = {
  logLevel: 'warning',
  debug: false,
  wasm: {},
  webgl: {},
  webgpu: {},
  // No version of onnxruntime: programs would fetch its files.
  versions: {},
};

export class InferenceSession {
  #owned;
  #ignored;

  /** Use `InferenceSession.create`. */
  constructor(owned, ignored) {
    this.#owned = owned;
    this.#ignored = ignored;
    const [inputs, outputs] = owned.use((session) => session.ports());
    this.inputMetadata = inputs.map(toMetadata);
    this.outputMetadata = outputs.map(toMetadata);
    this.inputNames = this.inputMetadata.map((port) => port.name);
    this.outputNames = this.outputMetadata.map((port) => port.name);
  }

  /** `create(path | URL | bytes, options)` or `create(buffer, byteOffset, byteLength, options)`. */
  static async create(model, ...rest) {
    const { bytes: held, options } = toArguments(model, rest);
    const session = sessionOptions(options);
    const ignored = unmet(options);
    const given = externalFiles(options.externalData ?? []);
    const url = held ? undefined : await toUrl(model);
    const engine = load(engineOptions());
    const intake = newIntake(engine);
    const folder = url && new URL('.', url);
    const beside = async (location) => {
      if (given.has(location)) return externalFile(location, given.get(location));
      return folder && read(within(folder, location));
    };
    const names = given.size > 0 ? `, which has '${[...given.keys()].join("', '")}'` : '';
    const where = `in options.externalData${names}${folder ? ` and not in ${folder.href}` : ''}`;
    const make = (file) => new Session(file, ...session);
    try {
      await Promise.all([held ? toBytes(held, 'model', { intake }) : fileAt(url, { intake }), engine]);
      return new InferenceSession(await assemble('session', intake, beside, where, make), ignored);
    } finally {
      intake.free();
    }
  }

  /** `run(feeds, options)` or `run(feeds, fetches, options)`. */
  async run(feeds, fetches, options) {
    if (typeof feeds !== 'object' || feeds === null || isTensor(feeds) || Array.isArray(feeds)) {
      throw new TypeError("'feeds' must be an object that use input names as keys and OnnxValue as corresponding values.");
    }
    const wanted = this.#wanted(fetches);
    checkOptions(options);
    for (const name of this.inputNames) {
      if (feeds[name] === undefined) throw new Error(`input '${name}' is missing in 'feeds'.`);
    }
    for (const [name, tensor] of Object.entries(feeds)) {
      if (!this.inputNames.includes(name)) throw new Error(`invalid input '${name}'`);
      if (!isTensor(tensor)) throw new TypeError(`input '${name}' must be a Tensor, got ${kind(tensor)}`);
    }
    return this.#owned.use((session) => {
      for (const [name, tensor] of Object.entries(feeds)) feed(session, name, tensor);
      const outputs = session.run();
      return Object.fromEntries(wanted.map(([name, given]) => [name, this.#fetch(outputs, name, given)]));
    });
  }

  /** What runs, and how. */
  info() {
    return { ...info(), ...toInfo(this.#owned.use((session) => session.facts())), ignored: [...this.#ignored] };
  }

  /** Frees the memory; a later use is an error with code `disposed`. */
  async release() {
    this.#owned.free();
  }

  startProfiling() {}

  endProfiling() {}

  /** `[name, tensor to write to or null]` of each output asked for. */
  #wanted(fetches) {
    if (fetches === null) throw new TypeError('Unexpected argument[1]: cannot be null.');
    if (isTensor(fetches)) throw new TypeError("'fetches' cannot be a Tensor");
    if (Array.isArray(fetches)) {
      if (fetches.length === 0) throw new TypeError("'fetches' cannot be an empty array.");
      for (const name of fetches) {
        if (typeof name !== 'string') throw new TypeError("'fetches' must be a string array or an object.");
        if (!this.outputNames.includes(name)) {
          throw new RangeError(`'fetches' contains invalid output name: ${name}.`);
        }
      }
      return fetches.map((name) => [name, null]);
    }
    if (fetches !== undefined && typeof fetches !== 'object') {
      throw new TypeError("Unexpected argument[1]: must be 'fetches' or 'options'.");
    }
    // An object with an output's name in it lists outputs; any other is the options.
    const named = this.outputNames.filter((name) => fetches?.[name] === null || isTensor(fetches?.[name]));
    return named.length > 0 ? named.map((name) => [name, fetches[name]]) : this.outputNames.map((name) => [name, null]);
  }

  #fetch(outputs, name, given) {
    const [type, bytes, ...dims] = outputs[this.outputNames.indexOf(name)];
    const result = Tensor.fromBytes(type, bytes, dims);
    if (given === null) return result;
    if (given.type !== result.type || String(given.dims) !== String(dims)) {
      const [found, wanted] = [result, given].map((tensor) => `${tensor.type} [${tensor.dims}]`);
      throw new FourlaneError('bad-input', `output '${name}' is ${found}, which a tensor ${wanted} cannot hold`);
    }
    given.data.set(result.data);
    return given;
  }
}

/** `{ bytes, options }` of the arguments of `create`; without bytes the model is a URL or path. */
function toArguments(model, [first, second, third]) {
  if (typeof model === 'string' || model instanceof URL) return { options: checkOptions(first) };
  if (model instanceof Uint8Array) return { bytes: model, options: checkOptions(first) };
  if (!(model instanceof ArrayBuffer || isShared(model))) {
    throw new TypeError("Unexpected argument[0]: must be 'path' or 'buffer'.");
  }
  if (typeof first !== 'number') return { bytes: new Uint8Array(model), options: checkOptions(first) };
  if (second !== undefined && typeof second !== 'number') throw new TypeError("'byteLength' must be a number.");
  const size = model.byteLength;
  if (!Number.isSafeInteger(first)) throw new RangeError("'byteOffset' must be an integer.");
  if (first < 0 || first >= size) throw new RangeError(`'byteOffset' is out of range [0, ${size}).`);
  const length = second ?? size - first;
  if (!Number.isSafeInteger(length)) throw new RangeError("'byteLength' must be an integer.");
  if (length <= 0 || first + length > size) throw new RangeError(`'byteLength' is out of range (0, ${size - first}].`);
  return { bytes: new Uint8Array(model, first, length), options: checkOptions(third) };
}

function checkOptions(options = {}) {
  if (typeof options !== 'object' || options === null) throw new TypeError("'options' must be an object.");
  return options;
}

/** What programs set of onnxruntime's .wasm, in this engine's words. */
function engineOptions() {
  const { wasmPaths, wasmBinary, simd, numThreads } = env.wasm;
  const wasmPath = wasmPaths instanceof URL ? wasmPaths : (wasmPaths?.wasm ?? wasmPaths);
  const variant = { fixed: 'simd128', relaxed: 'relaxed' }[simd];
  // 0: as many as are good. As in onnxruntime, what is set after the first session has no effect.
  const threads = info() ? undefined : numThreads || undefined;
  return { wasmPath, wasmBinary, variant, threads };
}

/** What a program asks for and does not get, a sentence each. */
function unmet({ executionProviders: providers = [], preferredOutputLocation: places = 'cpu', enableGraphCapture }) {
  if (!Array.isArray(providers)) {
    throw new TypeError(`options.executionProviders must be an array, got ${kind(providers)}`);
  }
  const place = (typeof places === 'string' ? [places] : Object.values(places)).find((place) => place !== 'cpu');
  if (place !== undefined) {
    throw new FourlaneError('bad-input', `options.preferredOutputLocation is '${place}', but outputs are in memory ('cpu')`);
  }
  const others = providers.map((provider) => provider?.name ?? provider).filter((name) => !/^(cpu|wasm)$/.test(name));
  const ignored = others.map((name) => `executionProviders: '${name}' is not here, WebAssembly runs all on the CPU`);
  if (enableGraphCapture) ignored.push('enableGraphCapture: it is of GPUs');
  if (env.wasm.proxy) ignored.push('env.wasm.proxy: a session runs where it is made; make it in a worker');
  return ignored;
}

function feed(session, name, { type, data, dims }) {
  if (!ArrayBuffer.isView(data)) throw new FourlaneError('bad-input', `input '${name}' is a string tensor`);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  session.feed(name, type, Uint32Array.from(dims), bytes);
}

/** A port comes as `[name, type, dimension...]`: a number, or a name for one that is free. */
function toMetadata([name, type, ...shape]) {
  return { name, isTensor: true, type, shape };
}

async function fileAt(url, how) {
  const bytes = await read(url, how);
  if (bytes === undefined) throw new FourlaneError('missing-file', `there is no file at ${url.href}`);
  return bytes;
}

/** By the names that a model has for them: `{ path, data }`, or a URL or path whose last part is the name. */
function externalFiles(list) {
  if (!Array.isArray(list)) throw new TypeError(`options.externalData must be an array, got ${kind(list)}`);
  const entries = list.map((file, i) => {
    if (typeof file === 'string' || file instanceof URL) return [String(file).split(/[?#]/)[0].split(/[\\/]/).at(-1), file];
    if (typeof file?.path === 'string' && file.data !== undefined) return [file.path.replace(/^(\.\/)+/, ''), file.data];
    throw new TypeError(`options.externalData[${i}] must be { path, data } or a URL, got ${kind(file)}`);
  });
  return new Map(entries);
}

function externalFile(path, data) {
  return typeof data === 'string' ? toUrl(data).then((url) => fileAt(url)) : toBytes(data, path);
}

export default { InferenceSession, Tensor, env };
