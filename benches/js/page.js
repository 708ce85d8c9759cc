// The part of the comparison that runs in a page; browser.js calls it.

import { engines } from './engines.js';
import { median } from './measure.js';
import { PAGE, padded, PLANS, PRECISIONS, show, wholeModel } from './suite.js';

const where = { ort: '/ort/ort.wasm.bundle.min.mjs', wasmPaths: '/ort/', packages: '/packages' };
const say = (row) => console.log(show(row));

/** A session in a fresh module worker. */
const startInWorker = (name, model) => inWorker('start-worker.js', { name, model, where });

/** What a fresh module worker answers to a message. */
function inWorker(file, message) {
  const worker = new Worker(`/js/${file}`, { type: 'module' });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data: { result, error } }) => (error ? reject(new Error(error)) : resolve(result));
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage(message);
  }).finally(() => worker.terminate());
}

async function loading(precision, starts) {
  const results = { ort: [], simd128: [], relaxed: [] };
  for (let i = 0; i < starts; i++) {
    for (const name of Object.keys(results)) {
      results[name].push(await startInWorker(name, `/models/${PRECISIONS[precision].file}`));
    }
  }
  const list = engines(where);
  return {
    what: `${precision} load`,
    engines: Object.entries(results).map(([name, all]) => ({
      name: list[name].name,
      cold: median(all.map((one) => one.cold)),
      warm: median(all.map((one) => one.warm)),
      memory: Math.max(...all.map((one) => one.memory)),
    })),
  };
}

export async function run(name, fast) {
  if (name === 'threads') return { models: await inWorker('threads-worker.js', { where }) };
  const plan = { ...PLANS[name], shapes: PLANS[name].shapes.filter(([batch, seq]) => batch * seq <= PAGE) };
  const list = engines(where);
  const results = { loading: [], models: [] };
  for (const precision of plan.precisions) {
    results.loading.push(await loading(precision, plan.starts));
    console.log(`${precision} load: ${JSON.stringify(results.loading.at(-1).engines)}`);
    const bytes = new Uint8Array(await (await fetch(`/models/${PRECISIONS[precision].file}`)).arrayBuffer());
    const contestants = [list.ort, list.simd128, list.relaxed];
    if (precision === 'q8' && fast) contestants.push(list.fast);
    results.models.push(...(await wholeModel(precision, bytes, contestants, plan, say)));
    if (precision !== 'q4') results.models.push(...(await padded(precision, bytes, contestants, plan, say)));
  }
  return results;
}
