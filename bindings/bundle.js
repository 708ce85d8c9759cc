// `node bundle.js SOURCES PACKAGE`: the package's scripts, in few files and small. A step of `cargo xtask build`.
//
// Two sets of files, for a page and for its workers. Within a set, what several entries import is in a file that they
// share, so that there is one engine in a page, whoever imports it; a worker has what it needs in a file of its own, but
// for what its page has loaded already: that is in `worker-common.js`, which both import.

import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rollup } from 'rollup';
import { minify } from 'terser';

const [sources, folder] = process.argv.slice(2);
const read = (name) => readFileSync(join(sources, name), 'utf8');
const scripts = readdirSync(sources).filter((name) => name.endsWith('.js'));

// Names of classes are in messages, or are asked for by programs. Comments to bundlers stay.
const SMALL = {
  module: true,
  ecma: 2020,
  compress: { passes: 3, inline: 1, pure_getters: true, keep_fargs: false, unsafe_arrows: true },
  keep_classnames: /^(FourlaneError|InferenceSession|Tensor)$/,
  format: { comments: /webpackIgnore|@vite-ignore/ },
};

// What wasm-bindgen's glue does for other callers than ours (engine.js knows whose instance an object is of) or in older
// engines than those with SIMD.
const SPARE = [
  [/if \(\(?\w+\)?\.__wbg_inst !== undefined.*\{\s*throw new Error\('Invalid stale object.*\s*\}/g, ''],
  [/Object\.defineProperty\(this, '__wbg_inst', .*/g, ''],
  [/if \(Symbol\.dispose\) .*/g, ''],
  [/__wbg_call_guard\(\);/g, ''],
  [/_assertClass\(.*\);/g, ''],
  [/\(typeof (Text\w+) !== 'undefined' \? (new \1\(.*?\)) : undefined\)/g, '$2'],
  [/if \(cachedTextDecoder\) /, ''],
  [/(?<=\w), wasm\.__wbindgen_malloc(, wasm\.__wbindgen_realloc)?(?=\))/g, ''],
  [/(?<=\w), malloc(, realloc)?(?=\))/g, ''],
  [/\bmalloc\(/g, 'wasm.__wbindgen_malloc('],
  [/ [/*] 1\b/g, ''],
  // The first start is as any later one, of another module.
  [/cached\w+Memory0 = null;\s*(?=cached|if \(typeof num)/g, ''],
  [/if \(typeof (numBytes|WASM_V).*\s*/g, ''],
  [/function __wbg_finalize_init[^]*(?=export \{ initSync)/, `function initSync({ module, memory }) {
    wasmModule = module;
    __wbg_reset_state(memory);
  }
  `],
  [/, __wbg_init as default/, ''],
  [/if \(cachedTextEncoder\) \{[^]*?(?=let WASM_VECTOR_LEN)/, ''], // there are no views to encode into
  [/let cached(\w+)Memory0 = null;\s*function get\1Memory0\(\) \{[^]*?return cached\1Memory0;/g, 'function get$1Memory0() { return new $1(wasm.memory.buffer);'],
  [/\(typeof FinalizationRegistry === 'undefined'\)\s*\?.*\s*: new/g, '/*#__PURE__*/ new'],
  [/const (Classifier|ModelFile)Finalization = .*\s*.*\s*.*\s*.*\s*\}\);/g, ''], // service.js holds and frees them
  [/(Classifier|ModelFile)Finalization\.(un)?register\(.*\);/g, ''],
  [/if \(realloc === undefined\) \{([^]*?return ptr;)\s*\}[^]*?return ptr;/, '$1'], // strings are short: no fast path
  [/numBytesDecoded \+= bytes\.length;[^]*?\}\s*return/, 'return'], // and few: Safari has trouble from 2 GB on
  [/try \{([^]*?)\} catch \(e\) \{\s*if \(ptr[^]*?throw e;\s*\}/g, '$1'], // what throws there is a trap
];

/** What a page and its worker both import. */
const PARTS = ['./errors.js', './held.js', './where.js'];
const COMMON = 'worker-common.js';

/** What programs import, and what workers are started with. */
const started = scripts.flatMap((name) => names(read(name), /new URL\('\.\/([\w-]+\.js)', import\.meta\.url\)/g));
const entries = names(JSON.stringify(JSON.parse(read('package.json')).exports), /"\.\/([\w-]+\.js)"/g);
const exported = entries.filter((name) => !started.includes(name));

for (const name of readdirSync(folder)) if (name.endsWith('.js')) rmSync(join(folder, name));
writeFileSync(join(sources, COMMON), PARTS.map((name) => `export * from '${name}';\n`).join(''));
await bundle([COMMON], '', []);
await bundle(exported, 'shared-[name].js');
await bundle(started, 'worker-[name].js');

function names(text, pattern) {
  return Array.from(text.matchAll(pattern), ([, name]) => name);
}

async function bundle(entries, chunkFileNames, elsewhere = PARTS) {
  const input = [...new Set(entries.map((name) => join(sources, name)))];
  const common = { id: `./${COMMON}`, external: true };
  const resolveId = (id) => (elsewhere.includes(id) ? common : null);
  const plugins = [{ name: 'parts', resolveId, transform: spare }];
  const options = { input, plugins, external: /\.wasm$|^node:/, preserveEntrySignatures: 'allow-extension', onwarn: fail };
  const { output } = await (await rollup(options)).generate({ chunkFileNames });
  for (const { fileName, code } of output) {
    const small = await minify(code, SMALL);
    writeFileSync(join(folder, fileName), small.code);
  }
}

function spare(glue, id) {
  if (!id.endsWith('/wasm.js')) return null;
  for (const [what, instead] of SPARE) {
    const shorter = glue.replace(what, instead);
    if (shorter === glue) throw new Error(`wasm-bindgen's glue has no more of ${what}; see bundle.js`);
    glue = shorter;
  }
  return { code: glue, map: null };
}

function fail({ message }) {
  throw new Error(message);
}
