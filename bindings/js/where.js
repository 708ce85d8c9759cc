// Where the code runs, and what a path means there.

/** Node, Bun and Deno: paths are files. */
export const isNode = typeof process === 'object' && Boolean(process.versions?.node);

/** Imports a module that only Node has, hidden from bundlers, which would stumble over it. */
export function nodeModule(name) {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ `node:${name}`);
}

/** A path in Node; elsewhere, and with a scheme, a URL, relative to the page or worker. */
export async function toUrl(place) {
  if (place instanceof URL) return place;
  if (typeof place !== 'string') throw new TypeError(`expected a path or URL, got ${kind(place)}`);
  if (/^[a-z][a-z\d+.-]+:/i.test(place)) return new URL(place); // two letters or more: `C:` is a drive
  if (isNode) return (await nodeModule('url')).pathToFileURL(place);
  return new URL(place, globalThis.document?.baseURI ?? globalThis.location?.href);
}

/** The same URL ending in a slash, so that names resolve inside it. */
export function asFolder(url) {
  if (url.pathname.endsWith('/')) return url;
  const folder = new URL(url);
  folder.pathname += '/';
  return folder;
}

/** What a wrong argument is, for messages. */
export function kind(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return `an object (${value.constructor?.name ?? 'no class'})`;
  return typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`;
}
