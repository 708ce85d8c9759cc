// `node node.js PLAN`, by way of `cargo xtask bench --peers`: everything in one process, but for loading, which wants a
// fresh one. Writes target/bench/node.json. The environment says where things are.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { engines, Loaded, tokens } from './engines.js';
import { agree, median, ratio, takeTurns } from './measure.js';
import { padded, PLANS, PRECISIONS, show, summary, wholeModel } from './suite.js';
import { WasiPeer } from './wasi-peer.js';

const { MODELS, PACKAGES, TOKENIZER, SENTENCES, PEERS_RELAXED, PEERS_SIMD128, OUT } = process.env;
const plan = PLANS[process.argv[2]];
const where = { ort: 'onnxruntime-web', packages: PACKAGES };
const { ort, simd128, relaxed, fast } = engines(where);
const read = (name) => new Uint8Array(readFileSync(`${MODELS}/${name}`));
const say = (row) => console.error(show(row));
const peer = (name, folder) => WasiPeer.start(name, `${folder}/peer_${name.split(' ')[0]}.wasm`);

/** The contestants that say what they do: an option that an engine does not know would be measured as if it did. */
async function withFast() {
  const session = await Loaded.load(fast, read('product-int8-768x768.onnx'));
  const does = session.session.info?.().accuracy === 'fast';
  await session.release();
  return does ? [ort, simd128, relaxed, fast] : [ort, simd128, relaxed];
}

/** The products of a layer at 128 tokens; fourlane's kernels are called as a layer calls them, others have sessions. */
async function products() {
  const kernels = [await peer('fourlane relaxed', PEERS_RELAXED), await peer('fourlane simd128', PEERS_SIMD128)];
  const rows = [];
  for (const kind of ['f32', 'int8']) {
    for (const [k, n] of [[768, 768], [768, 3072], [3072, 768]]) {
      const m = 128;
      const bytes = read(`product-${kind}-${k}x${n}.onnx`);
      // Integers of all sizes, and floats in -1..1.
      const noise = Uint8Array.from({ length: m * k }, (_, i) => Math.imul(i, 2654435761) >>> 24);
      const a = kind === 'int8' ? noise : Float32Array.from(noise, (x) => (x - 128) / 128);
      const session = await Loaded.load(ort, bytes);
      // Fresh ones each time: one that has failed cannot be used again.
      const others = [await peer('rten', PEERS_RELAXED), await peer('tract', PEERS_RELAXED)];
      const contestants = [session];
      const skipped = [];
      for (const engine of [...kernels, ...others]) {
        try {
          engine.load(bytes);
          engine.setMatrix(m, k, a);
          engine.run();
          contestants.push(engine);
        } catch (error) {
          skipped.push(error.message);
        }
      }
      session.setMatrix(m, k, a);
      const results = [];
      for (const contestant of contestants) {
        await contestant.run();
        results.push({ name: contestant.name, values: contestant.output() });
      }
      const what = `${kind} ${m}x${n}x${k}`;
      const apart = agree(what, results, kind === 'int8' ? 0 : 1e-3);
      // The speed limit has its turns like all others: it, too, meets the clock and the neighbours of the moment.
      const operations = 2 * m * n * k;
      const peak = kernels[0].peak(operations);
      const times = await takeTurns([...contestants, peak], plan.rounds);
      const row = { ...summary(what, times, apart), skipped };
      const best = kind === 'int8' ? 2 : 1;
      for (const engine of row.engines) {
        engine.rate = operations / (engine.ms / 1000);
        engine.ofPeak = 1 / ratio(times, peak.name, engine.name) / best;
      }
      rows.push(row);
      say(row);
      const fractions = row.engines.map(({ name, rate, ofPeak }) => `${name} ${(rate / 1e9).toFixed(1)} (${ofPeak.toFixed(2)})`);
      console.error(`    G/s and fraction of ${best === 2 ? 'twice the' : 'the'} peak: ${fractions.join(', ')}`);
      await session.release();
    }
  }
  return rows;
}

/** rten and tract, where they run a model and get it right. */
async function rivals(precision, bytes) {
  const all = { running: [], skipped: [] };
  const reference = await Loaded.load(ort, bytes);
  const { ids, mask } = tokens(1, 16);
  reference.setTokens(1, 16, ids, mask);
  await reference.run();
  for (const name of ['rten', 'tract']) {
    try {
      const engine = await peer(name, PEERS_RELAXED);
      engine.load(bytes);
      engine.setTokens(1, 16, ids, mask);
      engine.run();
      const results = [reference, engine].map((one) => ({ name: one.name, values: one.output() }));
      agree(precision, results, PRECISIONS[precision].tolerance);
      all.running.push(engine);
    } catch (error) {
      all.skipped.push(`${precision}: ${error.message}`.slice(0, 300));
    }
  }
  await reference.release();
  return all;
}

/** Sentences as people have them, in one call: texts to fourlane's pipeline, ids in one padded batch to onnxruntime. */
async function sentences() {
  const texts = readFileSync(SENTENCES, 'utf8').split('\n').slice(1, 65).map((line) => line.split('\t')[0]);
  const model = read(PRECISIONS.q8.file);
  const files = {
    'config.json': new Uint8Array(readFileSync(`${TOKENIZER}/config.json`)),
    'tokenizer.json': new Uint8Array(readFileSync(`${TOKENIZER}/tokenizer.json`)),
    'onnx/model_quantized.onnx': model,
  };
  const contestants = [];
  const session = await Loaded.load(ort, model);
  for (const variant of ['simd128', 'relaxed']) {
    const { pipeline, load } = await import(`${PACKAGES}/pkg-${variant}/index.js`);
    await load({ variant, worker: false, threads: 1 });
    const classify = await pipeline('sentiment-analysis', files, { worker: false, variant, threads: 1 });
    contestants.push({ name: `fourlane ${variant}`, classify, run: () => classify(texts) });
  }
  const rows = await Promise.all(texts.map((text) => contestants[0].classify.tokenize(text)));
  const seq = Math.max(...rows.map((row) => row.length));
  const [ids, mask] = [new BigInt64Array(64 * seq), new BigInt64Array(64 * seq)];
  rows.forEach((row, i) => row.forEach((id, j) => {
    ids[i * seq + j] = BigInt(id);
    mask[i * seq + j] = 1n;
  }));
  session.setTokens(64, seq, ids, mask);
  await session.run();
  const results = [{ name: session.name, values: session.output() }];
  for (const { name, classify } of contestants) {
    results.push({ name, values: (await classify.logits(texts)).flatMap((row) => Array.from(row)) });
  }
  const what = `q8 64 sentences, ${rows.flat().length} tokens, padded to ${seq}`;
  const apart = agree(what, results, PRECISIONS.q8.tolerance);
  const rounds = { least: plan.texts, most: plan.texts, seconds: 1 };
  const row = summary(what, await takeTurns([session, ...contestants], rounds), apart);
  say(row);
  await session.release();
  for (const { classify } of contestants) await classify.dispose();
  return row;
}

/** Fresh processes in turns. */
function loading(precision) {
  const { file } = PRECISIONS[precision];
  const size = read(file).length;
  const results = { ort: [], simd128: [], relaxed: [] };
  for (let i = 0; i < plan.starts; i++) {
    for (const name of Object.keys(results)) {
      const args = [...process.execArgv, new URL('start-node.js', import.meta.url).pathname];
      args.push(name, `${MODELS}/${file}`, JSON.stringify(where));
      results[name].push(JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })));
    }
  }
  const engines = Object.entries(results).map(([name, all]) => ({
    name: { ort, simd128, relaxed }[name].name,
    cold: median(all.map((one) => one.cold)),
    warm: median(all.map((one) => one.warm)),
    memory: Math.max(...all.map((one) => one.memory)),
  }));
  for (const { name, cold, warm, memory } of engines) {
    const share = (memory / size).toFixed(2);
    console.error(`${precision} load, ${name}: ${cold.toFixed(0)} ms, again ${warm.toFixed(0)} ms, ${share} of the file in memory`);
  }
  return { what: `${precision} load`, size, engines };
}

const results = { node: process.version, v8: process.versions.v8, cpu: cpus()[0].model, products: await products() };
results.loading = plan.precisions.map(loading);
results.models = [];
results.skipped = results.products.flatMap((row) => row.skipped.map((why) => `${row.what}: ${why}`));
const quantised = await withFast();
for (const precision of plan.precisions) {
  const bytes = read(PRECISIONS[precision].file);
  const { running, skipped } = await rivals(precision, bytes);
  results.skipped.push(...skipped);
  const contestants = precision === 'q8' ? quantised : [ort, simd128, relaxed];
  results.models.push(...(await wholeModel(precision, bytes, contestants, plan, say, running)));
  if (precision !== 'q4') results.models.push(...(await padded(precision, bytes, contestants, plan, say)));
}
results.models.push(await sentences());
for (const why of results.skipped) console.error(`not compared: ${why}`);
writeFileSync(OUT, JSON.stringify(results, null, 1));
