// Text classification in one call: the shape of transformers.js, without its weight.

import { info, load } from './engine.js';
import { FourlaneError } from './errors.js';
import { readModel } from './files.js';
import { Classifier } from './wasm.js';
import { assemble, sessionOptions, toInfo } from './weights.js';
import { kind } from './where.js';

export { FourlaneError, info, load };

const TASKS = ['sentiment-analysis', 'text-classification'];

/** See index.d.ts. */
export async function pipeline(task, source, options) {
  if (!TASKS.includes(task)) {
    throw new FourlaneError('unsupported-task', `the task '${task}' is not one of ${TASKS.join(', ')}`);
  }
  options ??= {};
  if (typeof options !== 'object') throw new TypeError(`the options must be an object, got ${kind(options)}`);
  const session = sessionOptions(options);
  source ??= (await import('./model.js')).default;
  const [files] = await Promise.all([readModel(source, options), load(options)]);
  const { model, beside, where, path, dtype, config, tokenizer, vocab, tokenizerConfig } = files;
  const owned = await assemble('pipeline', model, beside, where, (file) => {
    options.signal?.throwIfAborted();
    return new Classifier(file, ...session, config, tokenizer, vocab, tokenizerConfig);
  });
  try {
    files.end(task);
  } catch (error) {
    owned.free();
    throw error;
  }
  const labels = owned.use((classifier) => classifier.labels());

  /** Classifies one text or several. */
  async function classify(texts, { top_k: topK = 1 } = {}) {
    const list = toList(texts);
    if (topK !== null && !(Number.isSafeInteger(topK) && topK > 0)) {
      throw new TypeError(`top_k must be a positive integer, or null for all labels, got ${topK}`);
    }
    const flat = owned.use((classifier) => classifier.classify(list, topK ?? 0));
    const results = split(flat, list.length).map(toLabels);
    if (topK === 1) return results.flat();
    return Array.isArray(texts) ? results : results[0];
  }

  // The engine's answer for one text: index and score of each label, best first.
  function toLabels(pairs) {
    const count = pairs.length / 2;
    return Array.from({ length: count }, (_, i) => ({ label: labels[pairs[2 * i]], score: pairs[2 * i + 1] }));
  }

  return Object.assign(classify, {
    labels,
    tokenize: (text) => owned.use((classifier) => Array.from(classifier.tokenize(toList(text)[0]))),
    async logits(texts) {
      const list = toList(texts);
      const rows = split(owned.use((classifier) => classifier.logits(list)), list.length);
      return Array.isArray(texts) ? rows : rows[0];
    },
    info: () => ({ ...info(), file: path, dtype, ...toInfo(owned.use((classifier) => classifier.facts())) }),
    async dispose() {
      owned.free();
    },
  });
}

/** The texts as an array. A lone surrogate in one, which UTF-8 cannot say, is read as U+FFFD. */
function toList(texts) {
  const list = Array.isArray(texts) ? texts : [texts];
  const wrong = list.findIndex((text) => typeof text !== 'string');
  if (wrong >= 0) {
    const where = Array.isArray(texts) ? `, at index ${wrong}` : '';
    throw new TypeError(`expected a text or an array of texts, got ${kind(list[wrong])}${where}`);
  }
  if (list.length === 0) throw new TypeError('expected a text or an array of texts, got an empty array');
  return list;
}

/** Equal parts. */
function split(flat, count) {
  const size = flat.length / count;
  return Array.from({ length: count }, (_, i) => flat.subarray(i * size, (i + 1) * size));
}
