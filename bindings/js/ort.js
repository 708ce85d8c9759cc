// The part of onnxruntime-web's API that text models use, over this engine: a page changes its import line.
//
// Checks and messages follow onnxruntime's, as far as code in the field leans on them. What makes no sense here
// (execution providers, graph optimisation levels, threads) is accepted and ignored.

import { info, load } from './engine.js';
import { FourlaneError } from './errors.js';
import { isShared, read, toBytes } from './read.js';
import { Tensor } from './tensor.js';
import { Session } from './wasm.js';
import { assemble, sessionOptions, toInfo } from './weights.js';
import { kind, toUrl, within } from './where.js';

export { FourlaneError, Tensor };

/** Settings of onnxruntime that programs write; none has an effect. */
export const env = {
  logLevel: 'warning',
  debug: false,
  wasm: { numThreads: 1, simd: true, proxy: false, wasmPaths: undefined, initTimeout: 0 },
  webgl: {},
  webgpu: {},
  versions: { common: '', web: '' },
};

export class InferenceSession {
  #owned;

  /** Use `InferenceSession.create`. */
  constructor(owned) {
    this.#owned = owned;
    const { inputs, outputs } = owned.use((session) => ({ inputs: session.inputs(), outputs: session.outputs() }));
    this.inputMetadata = inputs.map(toMetadata);
    this.outputMetadata = outputs.map(toMetadata);
    this.inputNames = this.inputMetadata.map((port) => port.name);
    this.outputNames = this.outputMetadata.map((port) => port.name);
  }

  /** `create(path | URL | bytes, options)` or `create(buffer, byteOffset, byteLength, options)`. */
  static async create(model, ...rest) {
    const options = rest.find((argument) => typeof argument === 'object' && argument !== null) ?? {};
    const session = sessionOptions(options);
    const given = externalFiles(options.externalData ?? []);
    const url = typeof model === 'string' || model instanceof URL ? await toUrl(model) : undefined;
    const [bytes] = await Promise.all([url ? fileAt(url) : modelBytes(model, rest), load()]);
    const folder = url && new URL('.', url);
    const beside = async (location) => {
      if (given.has(location)) return externalFile(location, given.get(location));
      return folder && read(within(folder, location));
    };
    const names = given.size > 0 ? `, which has '${[...given.keys()].join("', '")}'` : '';
    const where = `in options.externalData${names}${folder ? ` and not in ${folder.href}` : ''}`;
    const make = (file) => new Session(file, ...session);
    return new InferenceSession(await assemble('session', bytes, beside, where, make));
  }

  /** `run(feeds, options)` or `run(feeds, fetches, options)`. */
  async run(feeds, fetches) {
    if (typeof feeds !== 'object' || feeds === null || feeds instanceof Tensor || Array.isArray(feeds)) {
      throw new TypeError("'feeds' must be an object that use input names as keys and OnnxValue as corresponding values.");
    }
    const wanted = this.#wanted(fetches);
    for (const name of this.inputNames) {
      if (feeds[name] === undefined) throw new Error(`input '${name}' is missing in 'feeds'.`);
    }
    for (const [name, tensor] of Object.entries(feeds)) {
      if (!this.inputNames.includes(name)) throw new Error(`invalid input '${name}'`);
      if (!(tensor instanceof Tensor)) throw new TypeError(`input '${name}' must be a Tensor, got ${kind(tensor)}`);
    }
    return this.#owned.use((session) => {
      for (const [name, tensor] of Object.entries(feeds)) feed(session, name, tensor);
      session.run();
      return Object.fromEntries(wanted.map(([name, given]) => [name, this.#fetch(session, name, given)]));
    });
  }

  /** What runs, and how. */
  info() {
    return { ...info(), ...toInfo(this.#owned.use((session) => session.facts())) };
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
    if (fetches instanceof Tensor) throw new TypeError("'fetches' cannot be a Tensor");
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
    const named = this.outputNames.filter((name) => fetches?.[name] === null || fetches?.[name] instanceof Tensor);
    return named.length > 0 ? named.map((name) => [name, fetches[name]]) : this.outputNames.map((name) => [name, null]);
  }

  #fetch(session, name, given) {
    const index = this.outputNames.indexOf(name);
    const dims = Array.from(session.output_dims(index));
    const result = Tensor.fromBytes(session.output_type(index), session.output_bytes(index), dims);
    if (given === null) return result;
    if (given.type !== result.type || given.size !== result.size) {
      const found = `${result.type} [${dims}]`;
      throw new FourlaneError('bad-input', `output '${name}' is ${found}, which the given tensor cannot hold`);
    }
    given.data.set(result.data);
    return given;
  }
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

async function fileAt(url) {
  const bytes = await read(url);
  if (bytes === undefined) throw new FourlaneError('missing-file', `there is no file at ${url.href}`);
  return bytes;
}

function modelBytes(model, [byteOffset, byteLength]) {
  if (model instanceof Uint8Array) return model;
  if (!(model instanceof ArrayBuffer || isShared(model))) {
    throw new TypeError("Unexpected argument[0]: must be 'path' or 'buffer'.");
  }
  if (typeof byteOffset !== 'number') return new Uint8Array(model);
  return new Uint8Array(model, byteOffset, typeof byteLength === 'number' ? byteLength : undefined);
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
  return typeof data === 'string' ? toUrl(data).then(fileAt) : toBytes(data, path);
}

export default { InferenceSession, Tensor, env };
