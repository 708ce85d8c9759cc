// What a caller wants to know, and to have checked, of each file that is loaded.

import { FourlaneError } from './errors.js';
import { isNode, kind, nodeModule } from './where.js';

/** Options of `pipeline` as those of `read`: `how(path)` for each file, and `end()` when all are there. */
export function transfer({ signal, cache, integrity = {}, onProgress, progress_callback: callback = onProgress }, name) {
  if (callback !== undefined && typeof callback !== 'function') {
    throw new TypeError(`options.onProgress must be a function, got ${kind(callback)}`);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`options.signal must be an AbortSignal, got ${kind(signal)}`);
  }
  if (typeof integrity !== 'object' || integrity === null) {
    throw new TypeError(`options.integrity must be an object of digests by file name, got ${kind(integrity)}`);
  }
  if (cache !== undefined && typeof cache !== 'boolean' && typeof cache !== 'string') {
    throw new TypeError(`options.cache must be true, false or a name, got ${kind(cache)}`);
  }
  const unchecked = new Set(Object.keys(integrity));
  const files = {};
  const how = (path) => ({
    signal,
    cache: cache === true ? 'fourlane' : cache,
    check: Object.hasOwn(integrity, path)
      ? (bytes) => verify(bytes, integrity[path], path).then(() => unchecked.delete(path))
      : undefined,
    report: callback && ((loaded, total, isDone) => report(path, loaded, total, isDone)),
  });

  // As transformers.js does.
  function report(file, loaded, total, isDone) {
    if (!files[file]) {
      callback({ status: 'initiate', name, file });
      callback({ status: 'download', name, file });
    }
    files[file] = { loaded, total };
    callback({ status: 'progress', name, file, progress: percent(loaded, total), loaded, total });
    const sum = (key) => Object.values(files).reduce((sum, file) => sum + file[key], 0);
    const all = { loaded: sum('loaded'), total: sum('total') };
    callback({ status: 'progress_total', name, progress: percent(all.loaded, all.total), ...all, files: { ...files } });
    if (isDone) callback({ status: 'done', name, file });
  }

  function end(task) {
    const [wrong] = unchecked;
    if (wrong !== undefined) throw new TypeError(`options.integrity names '${wrong}', which this model does not load`);
    callback?.({ status: 'ready', task, model: name });
  }
  return { how, end };
}

function percent(loaded, total) {
  return total > 0 ? (100 * loaded) / total : 100;
}

/** `wanted` is as in HTML: `sha256-` or alike, and the digest in Base64. */
async function verify(bytes, wanted, path) {
  const [, bits, digest] = /^sha(256|384|512)-([\w+/]+=*)$/.exec(wanted) ?? [];
  if (!bits) throw new TypeError(`options.integrity['${path}'] must be of the form 'sha256-Base64', got '${wanted}'`);
  const { subtle } = globalThis.crypto ?? (isNode ? (await nodeModule('crypto')).webcrypto : {});
  if (!subtle) throw new FourlaneError('load-failed', 'options.integrity can be checked on pages from https only');
  const hash = new Uint8Array(await subtle.digest(`SHA-${bits}`, bytes));
  const found = btoa(String.fromCharCode(...hash));
  if (found !== digest) {
    throw new FourlaneError('load-failed', `'${path}' is not the file that options.integrity means: it is sha${bits}-${found}`);
  }
}
