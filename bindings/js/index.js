// Text classification in one call: the shape of transformers.js, without its weight.

import { FourlaneError } from './errors.js';
import { enter, later, leave, number } from './host.js';
import { asFolder, kind, toUrl } from './where.js';

export { FourlaneError };

const TASKS = ['sentiment-analysis', 'text-classification'];

let settings; // what `load` was told
let current; // where the last engine was loaded

/** See index.d.ts. */
export async function load(options = {}) {
  const host = await enter(options.worker);
  try {
    const all = await toSettings(options, host);
    host.engine = await host.call('load', [all]);
    [settings, current, host.isKept] = [all, host, true];
  } finally {
    await leave(host);
  }
  return info();
}

/** What runs, where and why; undefined before it does. */
export function info() {
  return current && { ...current.engine, ...current.place };
}

/** See index.d.ts. */
export async function pipeline(task, source, options) {
  if (!TASKS.includes(task)) {
    throw new FourlaneError('unsupported-task', `the task '${task}' is not one of ${TASKS.join(', ')}`);
  }
  options ??= {};
  if (typeof options !== 'object') throw new TypeError(`the options must be an object, got ${kind(options)}`);
  const { onProgress, progress_callback: callback = onProgress, signal, worker, transfer, ...rest } = options;
  check(callback, signal);
  const isPlace = typeof source === 'string' || source instanceof URL;
  if (isPlace) source = asFolder(await toUrl(source)).href;
  const name = isPlace ? source : 'the object of files';

  // Breaking off takes effect here and now; the other side hears of it.
  let stop;
  const stopped = new Promise((_, reject) => (stop = reject));
  stopped.catch(() => {});
  let tell;
  const report = callback && ((...file) => {
    try {
      tell?.(...file);
    } catch (error) {
      stop(error);
    }
  });
  const abort = () => stop(signal.reason);
  signal?.addEventListener('abort', abort);
  const id = number();
  const entering = enter(worker);
  try {
    const host = await Promise.race([entering, stopped]);
    const isObject = typeof source === 'object' && source !== null && !Array.isArray(source);
    const [files, buffers] = host.place.worker && isObject ? await (await later.pack()).pack(source, transfer) : [source];
    if (callback) tell = (await later.progress()).progress(callback, name);
    const all = await toSettings(rest, host);
    signal?.throwIfAborted();
    const opened = await Promise.race([host.call('open', [id, files, all], report, buffers), stopped]);
    host.engine = opened.engine;
    current = host;
    host.isKept &&= !host.place.worker; // from now on it is kept for the pipelines
    callback?.({ status: 'ready', task, model: name });
    return classifier(host, { id, facts: opened.facts }, opened.labels);
  } catch (error) {
    entering.then((host) => leave(host, id)).catch(() => {});
    throw error;
  } finally {
    tell = undefined;
    signal?.removeEventListener('abort', abort);
  }
}

/** What people call: `pipeline` is `{ id, facts }` of what runs on the host. */
function classifier(host, pipeline, labels) {
  let gone;

  async function rows(method, texts, options = {}) {
    const list = toList(texts);
    check(options.onProgress, options.signal);
    alive();
    return host.queue.add(pipeline, method, list, options);
  }

  function alive() {
    if (gone) throw gone;
  }

  async function ask(method, text) {
    toList([text]);
    alive();
    return host.call('ask', [pipeline.id, method, text]);
  }

  /** Classifies one text or several. */
  async function classify(texts, options) {
    const topK = options?.top_k === undefined ? 1 : options.top_k;
    if (topK !== null && !(Number.isSafeInteger(topK) && topK > 0)) {
      throw new TypeError(`top_k must be a positive integer, or null for all labels, got ${topK}`);
    }
    // The engine's answer for one text: index and score of each label, best first.
    const toLabels = (pairs) =>
      Array.from({ length: Math.min(topK ?? Infinity, labels.length) }, (_, i) => {
        return { label: labels[pairs[2 * i]], score: pairs[2 * i + 1] };
      });
    const results = (await rows('classify', texts, options)).map(toLabels);
    if (topK === 1) return results.flat();
    return Array.isArray(texts) ? results : results[0];
  }

  return Object.assign(classify, {
    labels,
    tokenize: async (text) => Array.from(await ask('tokenize', text)),
    async logits(texts, options) {
      const results = await rows('logits', texts, options);
      return Array.isArray(texts) ? results : results[0];
    },
    info() {
      alive();
      return { ...pipeline.facts, ...host.place };
    },
    profile: async (text, options) => (await later.profile()).profile(() => ask('profile', text), options),
    async dispose() {
      if (gone) return;
      gone = new FourlaneError('disposed', 'this pipeline was disposed; make a new one');
      host.queue.end(pipeline, gone);
      await leave(host, pipeline.id);
    },
  });
}

/** Options of the engine and of files, as they go to a host. */
async function toSettings(options, host) {
  const all = { ...settings, ...options };
  if (all.wasmPath !== undefined) all.wasmPath = (await toUrl(all.wasmPath)).href;
  if (host.place.worker && typeof all.wasmBinary?.arrayBuffer === 'function') {
    all.wasmBinary = host.engine ? undefined : await all.wasmBinary.arrayBuffer();
  }
  return all;
}

function check(onProgress, signal) {
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new TypeError(`options.onProgress must be a function, got ${kind(onProgress)}`);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`options.signal must be an AbortSignal, got ${kind(signal)}`);
  }
  signal?.throwIfAborted();
}

/** The texts as an array. A lone surrogate in one, which UTF-8 cannot say, is read as U+FFFD. */
function toList(texts) {
  const list = Array.isArray(texts) ? [...texts] : [texts];
  const wrong = list.findIndex((text) => typeof text !== 'string');
  if (wrong >= 0) {
    const where = Array.isArray(texts) ? `, at index ${wrong}` : '';
    throw new TypeError(`expected a text or an array of texts, got ${kind(list[wrong])}${where}`);
  }
  if (list.length === 0) throw new TypeError('expected a text or an array of texts, got an empty array');
  return list;
}
