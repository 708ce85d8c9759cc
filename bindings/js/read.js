// Bytes from wherever they are: a URL, a file, what a page has in its hands.

import { FourlaneError } from './errors.js';
import { held } from './held.js';
import { isNode } from './where.js';

export { isShared } from './held.js';

// How often a download that breaks off is taken up again, and after how many milliseconds, twice as many each time.
const RETRIES = 3;
const PAUSE = 200;

let disk; // disk.js, where there can be files

/** For what may run in Node; a page does not load it. It is not for import(): see threads.js. */
export function provideFiles(module) {
  disk = module;
}

/**
 * The bytes at a URL, or undefined if there is nothing. A server that answers everything with its start page, or with one
 * to log in at, counts as having nothing.
 *
 * `how.signal` breaks off; `how.report(loaded, total, isDone)` hears of the bytes that came; `how.cache` names a cache of
 * the Cache API to look into first; `how.check(bytes)` throws if they are not the right ones. With `how.intake` (see
 * weights.js) the bytes go there, if possible while they come, and this resolves to it instead.
 */
export async function read(url, how = {}) {
  how.signal?.throwIfAborted();
  const isFile = disk && url.protocol === 'file:' && isNode;
  // Caches are for https, and for pages that may keep things.
  const cache = how.cache && !isFile && (await globalThis.caches?.open(how.cache).catch(() => undefined));
  const kept = await cache?.match(url.href);
  if (kept) {
    try {
      return await finished(new Uint8Array(await kept.arrayBuffer()), how);
    } catch {
      await cache.delete(url.href); // of an older model
    }
  }
  let bytes;
  const whole = {
    begin: (length) => (bytes = new Uint8Array(length)),
    feed(part, at) {
      const end = at + part.length;
      if (end > bytes.length) {
        const larger = new Uint8Array(2 * end);
        larger.set(bytes);
        bytes = larger;
      }
      bytes.set(part, at);
    },
  };
  const direct = !how.check && !cache && how.intake;
  const length = await fill(direct || whole, url, how, isFile);
  if (length === undefined) return undefined;
  if (direct) {
    how.report?.(length, length, true);
    return direct;
  }
  bytes = bytes.subarray(0, length);
  const result = await finished(bytes, how);
  await cache?.put(url.href, new Response(bytes)).catch(() => {}); // there may be no room
  return result;
}

async function finished(bytes, { check, report, intake }) {
  await check?.(bytes);
  report?.(bytes.length, bytes.length, true);
  await intake?.begin(bytes.length);
  intake?.feed(bytes);
  return intake ?? bytes;
}

/**
 * Gives an intake all that is at a URL while it comes; resolves to the number of bytes, or to undefined if there is
 * nothing.
 */
async function fill(intake, url, how, isFile) {
  const source = isFile ? disk.parts : parts;
  let loaded;
  for await (const { total, part } of source(url, how)) {
    if (!part) {
      await intake.begin(total);
      loaded = 0;
    } else {
      if (loaded === 0 && !isFile && isPage(part)) return undefined;
      intake.feed(part, loaded);
      loaded += part.length;
    }
  }
  return loaded;
}

/** A Response with something in it; undefined if there is nothing. */
export async function request(url, init) {
  let response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    init?.signal?.throwIfAborted();
    throw new FourlaneError('load-failed', `${url.href} cannot be fetched: ${error.message}${hint(url)}`, { cause: error });
  }
  const { status, ok, headers } = response;
  if ([204, 403, 404, 410].includes(status)) return undefined; // object stores say 403
  if (!ok) throw new FourlaneError('load-failed', `${url.href} answers with status ${status}`);
  return headers.get('content-type')?.startsWith('text/html') ? undefined : response;
}

/** Whether it is HTML, which a server has not called so: it begins with a doctype, a comment or `<html`. */
function isPage(bytes) {
  return /^<[!h]/i.test(String.fromCharCode(bytes[0], bytes[1]));
}

/** What a page is not told about a failure, but can guess. */
function hint(url) {
  if (globalThis.navigator?.onLine === false) return '; this device is offline';
  const here = globalThis.location?.origin;
  if (!here || here === url.origin) return '';
  return `; the server must be reachable and allow requests from ${here} (CORS)`;
}

/**
 * What comes from a URL: `{ total }` (0 if it is not said), then `{ part }` after `{ part }`. A connection that breaks is
 * taken up where it broke, if the server can and has the same file still, or all begins again with `{ total }`.
 */
async function* parts(url, { signal, report }) {
  let loaded = 0;
  let total = 0;
  let version;
  for (let retry = 0; ; retry += 1) {
    let problem;
    const headers = loaded > 0 ? { range: `bytes=${loaded}-` } : {};
    const response = await request(url, { signal, headers }).catch((error) => {
      if (loaded === 0) throw error;
      problem = error; // and gone the next time, perhaps
    });
    if (!response && !problem) return;
    if (response) {
      const { headers, status } = response;
      const found = headers.get('etag') ?? headers.get('last-modified');
      if (status !== 206 || found !== version) {
        if (status === 206) throw new FourlaneError('load-failed', `${url.href} changed while it was fetched`);
        loaded = 0;
        version = found;
        total = Number(headers.get('content-length')); // 0 if it is not said
        yield { total };
      }
    }
    const reader = response?.body?.getReader();
    try {
      while (reader) {
        const { done, value, error } = await reader.read().catch((error) => ({ done: true, error }));
        problem = error;
        if (done) break;
        loaded += value.length;
        report?.(loaded, Math.max(total, loaded));
        yield { part: value };
      }
    } finally {
      reader?.cancel().catch(() => {}); // if nobody wants the rest
    }
    if (!problem && loaded >= total) return;
    signal?.throwIfAborted();
    if (retry === RETRIES || loaded === 0 || !version) {
      const part = total ? `${loaded} of ${total}` : loaded;
      const message = `${url.href} broke off after ${part} bytes: ${problem?.message ?? 'the connection ended'}`;
      throw new FourlaneError('load-failed', message, { cause: problem });
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE * 2 ** retry));
  }
}

/** Bytes of whatever holds bytes. */
export async function toBytes(value, name, how = {}) {
  if (value === undefined) return undefined;
  if (value?.href) return read(new URL(value.href), how); // a URL, or what is left of one that came to a worker
  return finished(await held(value, name), how);
}

/** The URL of a file by its path inside a folder. A model could name files elsewhere, and is not to. */
export function within(folder, path) {
  const url = new URL(path.split('/').map(encodeURIComponent).join('/'), folder);
  if (url.href.startsWith(new URL('.', folder).href)) return url;
  throw new FourlaneError('invalid-model', `'${path}' leads out of the folder ${folder.href}`);
}
