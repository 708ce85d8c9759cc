// Bytes of what a page has in its hands.

import { kind } from './where.js';

export async function held(value, name) {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (typeof value?.getReader === 'function') value = new Response(value); // a ReadableStream
  if (typeof value?.arrayBuffer === 'function') value = await value.arrayBuffer(); // Blob, File, Response
  if (value instanceof ArrayBuffer || isShared(value)) return new Uint8Array(value);
  throw new TypeError(`'${name}' must be bytes, a Blob, a stream, a Response or a URL object, got ${kind(value)}`);
}

export function isShared(value) {
  return typeof SharedArrayBuffer === 'function' && value instanceof SharedArrayBuffer;
}
