// One thread against two, of the same build on the same model, in Node as in a page's worker.

import { engines } from './engines.js';
import { PRECISIONS, show, wholeModel } from './suite.js';

const PLAN = { shapes: [[1, 128]], rounds: { least: 9, most: 25, seconds: 10 } };

/** Rows as `wholeModel` gives them. `read(file)` gives a model's bytes. */
export async function threads(where, read, say) {
  const { relaxed, twoThreads } = engines(where);
  const rows = [];
  for (const precision of ['f32', 'q8']) {
    const bytes = await read(PRECISIONS[precision].file);
    rows.push(...(await wholeModel(precision, bytes, [relaxed, twoThreads], PLAN, (row) => say(show(row)))));
    if (rows.at(-1).apart !== 0) throw new Error(`${precision}: two threads give other bits than one`);
  }
  return rows;
}
