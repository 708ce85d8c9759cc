// Gets the files of a model: from a folder in the layout of Hugging Face, by URL or path, or from the caller's hands.
//
//     config.json  tokenizer.json (or vocab.txt)  tokenizer_config.json (optional)  onnx/model_quantized.onnx (or alike)
//
// Options that say which model file are those of transformers.js.

import { FourlaneError } from './errors.js';
import { read, toBytes, within } from './read.js';
import { transfer } from './transfer.js';
import { asFolder, kind, toUrl } from './where.js';

// What transformers.js calls the precisions, and how the file's name ends.
const SUFFIXES = {
  fp32: '', fp16: '_fp16', int8: '_int8', uint8: '_uint8', q8: '_quantized', q4: '_q4', q4f16: '_q4f16', bnb4: '_bnb4',
};
// Which to take if nobody says: first what transformers.js takes in WebAssembly.
const PREFERRED = ['q8', 'int8', 'uint8', 'fp32', 'fp16', 'q4', 'q4f16', 'bnb4'];

/**
 * The files of a classifier: `{ config, tokenizer, vocab, tokenizerConfig }`, bytes or undefined; the `path` and `dtype` of
 * the model, which goes into `intake`; `beside`, which gives files that the model names, and `where` it looks for them;
 * `end`, to be called when all is well.
 */
export async function readModel(source, options, intake) {
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
  const folder = await open(source, options);
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
  const [found, [tokenizer, tokenizerConfig]] = await Promise.all([config && first(folder, models, intake), rest]);
  const vocab = tokenizer ? undefined : await folder.read('vocab.txt');
  const missing =
    (!config && 'config.json') ||
    (!tokenizer && !vocab && 'tokenizer.json or vocab.txt') ||
    (!found && `model file (${models.map(({ path }) => path).join(', ')})`);
  if (missing) throw new FourlaneError('missing-file', `${folder.name} has no ${missing}`);
  const { place, ...model } = found;
  const beside = (location) => folder.read(place + location, undefined, location);
  const where = `beside '${model.path}' in ${folder.name}`;
  return { ...model, beside, where, config, tokenizer, vocab, tokenizerConfig, end: folder.end };
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

async function first(folder, models, intake) {
  for (const candidate of models) {
    if (await folder.read(candidate.path, intake)) return candidate;
  }
  return undefined;
}

/** `{ name, read, end }` over whatever the caller calls a source. */
async function open(source, options) {
  if (typeof source === 'string' || source instanceof URL) {
    const folder = asFolder(await toUrl(source));
    const { how, end } = transfer(options);
    return { name: folder.href, read: (path, intake) => read(within(folder, path), { ...how(path), intake }), end };
  }
  if (typeof source !== 'object' || source === null || Array.isArray(source)) {
    throw new TypeError(`the source must be a URL, a path or an object of files, got ${kind(source)}`);
  }
  const name = 'the object of files';
  const { how, end } = transfer(options);
  // A file beside the model goes by its own name, too.
  const find = async (path, intake, own) => toBytes(source[path] ?? source[own], path, { ...how(path), intake });
  return { name, read: find, end };
}
