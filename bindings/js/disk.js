// Files, which Node has.

import { FourlaneError } from './errors.js';
import { nodeModule } from './where.js';

// How much is read at a time.
const PART = 1 << 18;

/** What is in a file, as `parts` of read.js has it: nothing if there is none. */
export async function* parts(url, { signal, report }) {
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
