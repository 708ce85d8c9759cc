// Gets the files of a model: from a folder in the layout of Hugging Face, by URL or path, or from the caller's hands.
//
//     config.json  tokenizer.json (or vocab.txt)  tokenizer_config.json (optional)  onnx/model_quantized.onnx (or alike)

import { FourlaneError } from './errors.js';
import { asFolder, isNode, kind, nodeModule, toUrl } from './where.js';

// What transformers.js calls the precisions, and how the file's name ends.
const SUFFIXES = {
  fp32: '', fp16: '_fp16', int8: '_int8', uint8: '_uint8', q8: '_quantized', q4: '_q4', q4f16: '_q4f16', bnb4: '_bnb4',
};
const PREFERRED = ['q8', 'int8', 'uint8', 'fp32'];

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

/** The files of a classifier: `{ model, config, tokenizer, vocab, tokenizerConfig }`, bytes or undefined. */
export async function readModel(source, { dtype, model_file_name: stem = 'model' } = {}) {
  const folder = await open(source);
  const models = candidates(dtype, stem);
  const [config, tokenizer, tokenizerConfig, model] = await Promise.all([
    folder.read('config.json'),
    folder.read('tokenizer.json'),
    folder.read('tokenizer_config.json'),
    first(folder, models),
  ]);
  const vocab = tokenizer ? undefined : await folder.read('vocab.txt');
  const missing =
    (!config && 'config.json') ||
    (!tokenizer && !vocab && 'tokenizer.json or vocab.txt') ||
    (!model && `model file (${models.join(', ')})`);
  if (missing) throw new FourlaneError('missing-file', `${folder.name} has no ${missing}`);
  return { model, config, tokenizer, vocab, tokenizerConfig };
}

function candidates(dtype, stem) {
  if (dtype !== undefined && !Object.hasOwn(SUFFIXES, dtype)) {
    throw new TypeError(`options.dtype must be one of ${Object.keys(SUFFIXES).join(', ')}, got '${dtype}'`);
  }
  const names = (dtype === undefined ? PREFERRED : [dtype]).map((type) => `${stem}${SUFFIXES[type]}.onnx`);
  return [...names.map((name) => `onnx/${name}`), ...names];
}

async function first(folder, names) {
  for (const name of names) {
    const bytes = await folder.read(name);
    if (bytes) return bytes;
  }
  return undefined;
}

/** `{ name, read }` over whatever the caller calls a source. */
async function open(source) {
  if (typeof source === 'string' || source instanceof URL) {
    const folder = asFolder(await toUrl(source));
    return { name: folder.href, read: (path) => read(new URL(path, folder)) };
  }
  if (typeof source !== 'object' || source === null || Array.isArray(source)) {
    throw new TypeError(`the source must be a URL, a path or an object of files, got ${kind(source)}`);
  }
  return { name: 'the object of files', read: (path) => toBytes(source[path], path) };
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
