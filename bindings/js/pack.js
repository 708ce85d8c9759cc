// Files in a page's hands, made such that they can go to a worker, and without one more copy where that is possible.

import { held, isShared } from './held.js';

/** An object of files that can be cloned, and the buffers to transfer with it. Bytes are copied unless they `mayMove`. */
export async function pack(files, mayMove) {
  const buffers = [];
  const packed = Object.entries(files).map(async ([name, value]) => {
    if (value === undefined || value instanceof Blob) return [name, value]; // what is in a Blob is not copied
    if (value instanceof URL) return [name, { href: value.href }];
    let bytes = await held(value, name);
    if (isShared(bytes.buffer)) return [name, bytes];
    const isTheirs = bytes === value || bytes.buffer === value || ArrayBuffer.isView(value);
    // A view of a part would take all of its buffer along.
    if ((isTheirs && !mayMove) || bytes.length < bytes.buffer.byteLength) bytes = bytes.slice();
    buffers.push(bytes.buffer);
    return [name, bytes];
  });
  return [Object.fromEntries(await Promise.all(packed)), buffers];
}
