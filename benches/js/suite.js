// Whole models, in Node as in a page: what is compared, on what, after which check.

import { Loaded, tokens } from './engines.js';
import { agree, median, ratio, takeTurns } from './measure.js';

/**
 * The precisions, and how far from onnxruntime's logits others may be. Integer models are not computed alike by any two
 * engines: onnxruntime has one range of quantisation for a batch, fourlane one for a token.
 */
export const PRECISIONS = {
  f32: { file: 'model.onnx', tolerance: 1e-3 },
  q8: { file: 'model_quantized.onnx', tolerance: 0.5 },
  q4: { file: 'model_q4.onnx', tolerance: 0.2 },
};

const ALL = [1, 16].flatMap((batch) => [8, 16, 32, 64, 128, 512].map((seq) => [batch, seq]));
/** Tokens of the largest batch that a page is given: beyond, Node's times say the same, and take minutes a case. */
export const PAGE = 2048;
const QUICK = [[1, 16], [1, 32], [1, 128]];

export const PLANS = {
  quick: { precisions: ['f32', 'q8'], shapes: QUICK, rounds: { least: 3, most: 7, seconds: 2 }, starts: 2, texts: 2 },
  full: { precisions: ['f32', 'q8', 'q4'], shapes: ALL, rounds: { least: 2, most: 25, seconds: 8 }, starts: 7, texts: 5 },
};

/**
 * Times one model in all engines at all shapes. `others` makes contestants of another kind, `[{ name, setTokens, run,
 * output }]`; they take part at batch 1.
 */
export async function wholeModel(precision, bytes, engines, plan, say, others = []) {
  const { tolerance } = PRECISIONS[precision];
  const loaded = [];
  for (const engine of engines) loaded.push(await Loaded.load(engine, bytes));
  const rows = [];
  for (const [batch, seq] of plan.shapes) {
    const what = `${precision} ${batch}x${seq}`;
    const { ids, mask } = tokens(batch, seq);
    const contestants = batch === 1 ? [...loaded, ...others] : loaded;
    rows.push(await compare(what, contestants, { batch, seq, ids, mask }, tolerance, plan.rounds));
    say(rows.at(-1));
  }
  for (const engine of loaded) await engine.release();
  return rows;
}

/** A text of ten words, that is twelve tokens, padded to 128 as every tutorial does. */
export async function padded(precision, bytes, engines, plan, say) {
  const loaded = [];
  for (const engine of engines) loaded.push(await Loaded.load(engine, bytes));
  const { ids, mask } = tokens(1, 128);
  ids.fill(0n, 12);
  mask.fill(0n, 12);
  const { tolerance } = PRECISIONS[precision];
  const row = await compare(`${precision} padded`, loaded, { batch: 1, seq: 128, ids, mask }, tolerance, plan.rounds);
  say(row);
  for (const engine of loaded) await engine.release();
  return [row];
}

async function compare(what, contestants, { batch, seq, ids, mask }, tolerance, rounds) {
  const results = [];
  const begin = performance.now();
  for (const contestant of contestants) {
    contestant.setTokens(batch, seq, ids, mask);
    await contestant.run();
    results.push({ name: contestant.name, values: contestant.output() });
  }
  const warm = performance.now() - begin;
  const apart = agree(what, results, tolerance);
  return summary(what, await takeTurns(contestants, rounds, warm), apart);
}

/** Medians, and how much faster each is than the first, which is onnxruntime. */
export function summary(what, times, apart) {
  const [first] = Object.keys(times);
  const engines = Object.keys(times).map((name) => ({
    name,
    ms: median(times[name]),
    faster: ratio(times, name, first),
  }));
  return { what, rounds: times[first].length, apart, engines };
}

export function show({ what, rounds, apart, engines }) {
  const parts = engines.map(({ name, ms, faster }) => `${name} ${ms.toFixed(1)} ms (${faster.toFixed(2)}x)`);
  return `${what}: ${parts.join(', ')}; ${rounds} rounds, results ${apart.toExponential(1)} apart`;
}
