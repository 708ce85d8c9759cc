// Gets the files of a model: from a folder in the layout of Hugging Face, by URL or path, or from the caller's hands.
//
//     config.json  tokenizer.json (or vocab.txt)  tokenizer_config.json (optional)  onnx/model_quantized.onnx (or alike)
//
// Options that say which model file are those of transformers.js.

import { FourlaneError } from './errors.js';
import { asFolder, isNode, kind, nodeModule, toUrl, within } from './where.js';

// What transformers.js calls the precisions, and how the file's name ends.
const SUFFIXES = {
  fp32: '', fp16: '_fp16', int8: '_int8', uint8: '_uint8', q8: '_quantized', q4: '_q4', q4f16: '_q4f16', bnb4: '_bnb4',
};
// Which to take if nobody says: first what transformers.js takes in WebAssembly.
const PREFERRED = ['q8', 'int8', 'uint8', 'fp32', 'fp16', 'q4', 'q4f16', 'bnb4'];

/**
 * The bytes at a URL, or undefined if there is nothing. A server that answers everything with its start page counts
 * as having nothing. As `{ response: true }`, a fetched Response is handed over unread.
 */
export async function read(url, { response: unread = false } = {}) {
  if (url.protocol === 'file:' && isNode) {
    const { readFile } = await nodeModule('fs/promises');
    return readFile(url).catch((error) => {
      if (error.code === 'ENOENT') return undefined;
      throw new FourlaneError('load-failed', `${url.href} cannot be read: ${error.message}`, { cause: error });
    });
  }
  let response;
  try {
    response = await fetch(url);
    if (response.status === 403 || response.status === 404) return undefined; // object stores say 403
    if (response.ok && response.headers.get('content-type')?.startsWith('text/html')) return undefined;
    if (response.ok) return unread ? response : new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new FourlaneError('load-failed', `${url.href} cannot be fetched: ${error.message}`, { cause: error });
  }
  throw new FourlaneError('load-failed', `${url.href} answers with status ${response.status}`);
}

/**
 * The files of a classifier: `{ model, config, tokenizer, vocab, tokenizerConfig }`, bytes or undefined; the model's
 * `path` and `dtype`; and `beside`, which gives files that the model names, and `where` it looks for them.
 */
export async function readModel(source, options = {}) {
  const { subfolder, model_file_name: stem = 'model' } = options;
  for (const [name, value] of Object.entries({ subfolder, model_file_name: stem })) {
    if (value !== undefined && typeof value !== 'string') {
      throw new TypeError(`options.${name} must be a string, got ${kind(value)}`);
    }
  }
  const wanted = byName(options.dtype, stem);
  const isOpen = wanted === undefined || wanted === null || wanted === 'auto';
  if (!isOpen && !Object.hasOwn(SUFFIXES, wanted)) {
    throw new TypeError(`options.dtype must be 'auto' or one of ${Object.keys(SUFFIXES).join(', ')}, got '${wanted}'`);
  }
  const folder = await open(source);
  const folders = subfolder === undefined ? ['onnx/', ''] : [subfolder.replace(/\/?$/, '/').replace(/^\//, '')];
  const rest = Promise.all(['tokenizer.json', 'tokenizer_config.json'].map((path) => folder.read(path)));
  rest.catch(() => {}); // it is awaited below, unless something else fails before
  const config = await folder.read('config.json');
  const dtypes = isOpen ? [byName(preset(config), stem), ...PREFERRED] : [wanted];
  const models = folders.flatMap((place) =>
    dtypes
      .filter((dtype) => Object.hasOwn(SUFFIXES, dtype))
      .map((dtype) => ({ dtype, place, path: `${place}${stem}${SUFFIXES[dtype]}.onnx` })),
  );
  const [found, [tokenizer, tokenizerConfig]] = await Promise.all([config && first(folder, models), rest]);
  const vocab = tokenizer ? undefined : await folder.read('vocab.txt');
  const missing =
    (!config && 'config.json') ||
    (!tokenizer && !vocab && 'tokenizer.json or vocab.txt') ||
    (!found && `model file (${models.map(({ path }) => path).join(', ')})`);
  if (missing) throw new FourlaneError('missing-file', `${folder.name} has no ${missing}`);
  const { place, ...model } = found;
  const beside = (location) => folder.read(place + location, location);
  const where = `beside '${model.path}' in ${folder.name}`;
  return { ...model, beside, where, config, tokenizer, vocab, tokenizerConfig };
}

/** A precision may be given by the model file's name. */
function byName(dtype, stem) {
  return typeof dtype === 'object' && dtype !== null ? (dtype[stem] ?? dtype.model) : dtype;
}

/** The precision that config.json names for transformers.js. That the file is damaged is said by who reads all of it. */
function preset(config) {
  try {
    return JSON.parse(new TextDecoder().decode(config))['transformers.js_config'].dtype;
  } catch {
    return undefined;
  }
}

async function first(folder, models) {
  for (const candidate of models) {
    const model = await folder.read(candidate.path);
    if (model) return { ...candidate, model };
  }
  return undefined;
}

/** `{ name, read }` over whatever the caller calls a source. */
async function open(source) {
  if (typeof source === 'string' || source instanceof URL) {
    const folder = asFolder(await toUrl(source));
    return { name: folder.href, read: (path) => readWithin(folder, path) };
  }
  if (typeof source !== 'object' || source === null || Array.isArray(source)) {
    throw new TypeError(`the source must be a URL, a path or an object of files, got ${kind(source)}`);
  }
  // A file beside the model goes by its own name, too.
  const find = (path, name) => toBytes(source[path] ?? source[name], path);
  return { name: 'the object of files', read: async (path, name = path) => find(path, name) };
}

/** The bytes of a file inside a folder. A model could name others, and is not to. */
export async function readWithin(folder, path) {
  const url = within(folder, path);
  if (url === undefined) throw new FourlaneError('invalid-model', `'${path}' leads out of the folder ${folder.href}`);
  return read(url);
}

/** Bytes of whatever holds bytes. */
export async function toBytes(value, name) {
  if (value === undefined) return undefined;
  if (value instanceof Uint8Array) return value;
  if (value instanceof URL) return read(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (typeof value?.arrayBuffer === 'function') value = await value.arrayBuffer(); // Blob, File, Response
  if (value instanceof ArrayBuffer || isShared(value)) return new Uint8Array(value);
  throw new TypeError(`'${name}' must be bytes, a Blob, a Response or a URL object, got ${kind(value)}`);
}

function isShared(value) {
  return typeof SharedArrayBuffer === 'function' && value instanceof SharedArrayBuffer;
}
