// What the files of a folder that someone has dropped are to the package.

const SUFFIXES = {
  _quantized: 'q8', _int8: 'int8', _uint8: 'uint8', _fp16: 'fp16', _q4f16: 'q4f16', _q4: 'q4', _bnb4: 'bnb4',
};
const NAMES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'vocab.txt'];
const WEIGHTS = /\.(onnx|onnx_data\w*|data|safetensors)$/i;

const last = (path) => path.slice(path.lastIndexOf('/') + 1);

/**
 * `[path, file]` pairs as `{ name, source, models }`: a name for people, the files by their paths from where config.json
 * lies, and which of them are models, small ones first, since these are what pages use. If there is none, the package
 * says best what is missing.
 */
export function arrange(pairs) {
  const wanted = pairs.filter(([path]) => NAMES.includes(last(path)) || WEIGHTS.test(path));
  const config = wanted.map(([path]) => path).filter((path) => last(path) === 'config.json');
  const root = config.sort((a, b) => a.length - b.length)[0]?.slice(0, -'config.json'.length) ?? '';
  const inside = wanted.filter(([path]) => path.startsWith(root)).map(([path, file]) => [path.slice(root.length), file]);
  const bySize = ([, a], [, b]) => a.size - b.size;
  const models = inside.filter(([path]) => /\.onnx$/i.test(path)).sort(bySize).map(([path]) => path);
  return { name: root.split('/').at(-2) ?? models[0] ?? 'Your files', source: Object.fromEntries(inside), models };
}

/** The package's options for a model file of any name. */
export function which(path = 'onnx/model.onnx') {
  const [, subfolder = '', stem] = /^(.*\/)?([^/]*)\.onnx$/i.exec(path);
  const suffix = Object.keys(SUFFIXES).find((suffix) => stem.endsWith(suffix) && stem !== suffix);
  return suffix
    ? { subfolder, model_file_name: stem.slice(0, -suffix.length), dtype: SUFFIXES[suffix] }
    : { subfolder, model_file_name: stem, dtype: 'fp32' };
}
