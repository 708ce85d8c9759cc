// `fourlane` in Cloudflare's workers. They run no code that they did not get when they were deployed: the .wasm comes by
// an import, compiled, instead of by fetch.

import wasmBinary from './fourlane-relaxed.wasm';
import * as fourlane from './inplace.js';

export * from './inplace.js';

const engine = { wasmBinary, variant: 'relaxed', threads: 1 };

export function load(options) {
  return fourlane.load({ ...engine, ...options });
}

export async function pipeline(task, source, options) {
  return fourlane.pipeline(task, source, { ...engine, ...options });
}
