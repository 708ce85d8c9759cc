// `fourlane/ort` in Cloudflare's workers: see edge.js.

import wasmBinary from './fourlane-relaxed.wasm';
import ort from './ort.js';

export * from './ort.js';
export default ort;

Object.assign(ort.env.wasm, { wasmBinary, numThreads: 1 });
