// Bytes from wherever they are: a URL, a file, what a page has in its hands.

import { FourlaneError } from './errors.js';
import { held } from './held.js';
import { isNode, nodeModule } from './where.js';

export { isShared } from './held.js';

// How often a download that breaks off is taken up again, and after how many milliseconds, twice as many each time.
const RETRIES = 3;
const PAUSE = 200;
// Of a file that is handed over in parts.
const PART = 1 << 18;

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
  // Caches are for https, and for pages that may keep things.
  const cache = how.cache && !isFile(url) && (await globalThis.caches?.open(how.cache).catch(() => undefined));
  const kept = await cache?.match(url.href);
  if (kept) {
    try {
      return await finished(new Uint8Array(await kept.arrayBuffer()), how);
    } catch {
      await cache.delete(url.href); // of an older model
    }
  }
  if (how.intake && !how.check && !cache) {
    const length = await fill(how.intake, url, how);
    if (length === undefined) return undefined;
    how.report?.(length, length, true);
    return how.intake;
  }
  const whole = new Whole();
  if ((await fill(whole, url, how)) === undefined) return undefined;
  const bytes = whole.take();
  const result = await finished(bytes, how);
  await cache?.put(url.href, new Response(bytes)).catch(() => {}); // there may be no room
  return result;
}

function isFile(url) {
  return url.protocol === 'file:' && isNode;
}

async function finished(bytes, { check, report, intake }) {
  await check?.(bytes);
  report?.(bytes.length, bytes.length, true);
  if (!intake) return bytes;
  await intake.begin(bytes.length);
  intake.feed(bytes);
  return intake;
}

/** An intake that keeps all bytes. */
class Whole {
  #bytes;
  #length;

  begin(length) {
    this.#bytes = new Uint8Array(length);
    this.#length = 0;
  }

  feed(part) {
    const length = this.#length + part.length;
    if (length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(part, this.#length);
    this.#length = length;
  }

  take() {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** Gives an intake all that is at a URL while it comes; resolves to the number of bytes, or to undefined if there is nothing. */
async function fill(intake, url, how) {
  let first; // what is held back until it shows whether it is a page
  let length;
  let loaded;
  const begin = async () => {
    if (!isFile(url) && isPage(first)) return false;
    await intake.begin(length);
    intake.feed(first);
    first = undefined;
    return true;
  };
  for await (const { total, part } of isFile(url) ? fileParts(url, how) : parts(url, how)) {
    if (!part) {
      [first, length, loaded] = [new Uint8Array(0), total, 0];
      continue;
    }
    loaded += part.length;
    if (!first) {
      intake.feed(part);
    } else {
      first = first.length > 0 ? Uint8Array.of(...first, ...part) : part;
      if (first.length >= PAGE && !(await begin())) return undefined;
    }
  }
  return first && !(await begin()) ? undefined : loaded;
}

/** A file of Node's, as `parts` has it. */
async function* fileParts(url, { signal, report }) {
  const { open } = await nodeModule('fs/promises');
  let file;
  try {
    file = await open(url);
    const { size: total } = await file.stat();
    yield { total };
    for (let loaded = 0; ; ) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(PART));
      signal?.throwIfAborted();
      if (bytesRead === 0) return;
      loaded += bytesRead;
      report?.(loaded, Math.max(total, loaded));
      yield { part: buffer.subarray(0, bytesRead) };
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error.code === 'ENOENT') return;
    throw new FourlaneError('load-failed', `${url.href} cannot be read: ${error.message}`, { cause: error });
  } finally {
    await file?.close();
  }
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

// By so many bytes a page is known.
const PAGE = 9;

/** Whether it is HTML, which a server has not called so. */
function isPage(bytes) {
  return /^<(!doctype|html)/i.test(new TextDecoder().decode(bytes.subarray(0, PAGE)));
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
    const how = loaded > 0 ? { signal, headers: { range: `bytes=${loaded}-` } } : { signal };
    const response = await request(url, how).catch((error) => {
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
