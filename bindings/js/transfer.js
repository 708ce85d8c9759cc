// What a caller wants to have checked of each file that is loaded, and to know of it.

import { FourlaneError } from './errors.js';
import { isNode, kind, nodeModule } from './where.js';

/** Options of a pipeline as those of `read`: `how(path)` for each file, and `end()` when all are there. */
export function transfer({ signal, cache, integrity = {}, report }) {
  if (typeof integrity !== 'object' || integrity === null) {
    throw new TypeError(`options.integrity must be an object of digests by file name, got ${kind(integrity)}`);
  }
  if (cache !== undefined && typeof cache !== 'boolean' && typeof cache !== 'string') {
    throw new TypeError(`options.cache must be true, false or a name, got ${kind(cache)}`);
  }
  const unchecked = new Set(Object.keys(integrity));
  const how = (path) => ({
    signal,
    cache: cache === true ? 'fourlane' : cache,
    check: Object.hasOwn(integrity, path)
      ? (bytes) => verify(bytes, integrity[path], path).then(() => unchecked.delete(path))
      : undefined,
    report: report && ((...progress) => report(path, ...progress)),
  });

  function end() {
    const [wrong] = unchecked;
    if (wrong !== undefined) throw new TypeError(`options.integrity names '${wrong}', which this model does not load`);
  }
  return { how, end };
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
