// Memory stays flat: 1,000 times load and dispose, 10,000 texts, or FOURLANE_SOAK times as many (`cargo xtask soak`).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fourlane from 'fourlane';
import { MODEL, exported, variant } from './support.js';
import { soak } from './soak.js';

const times = Number(process.env.FOURLANE_SOAK ?? 1);
const counts = { cycles: 1000 * times, texts: 10_000 * times };

for (const worker of [true, false]) {
  test(`memory is flat, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
    const { classified, loaded } = await soak(fourlane, exported(), { worker, variant }, counts, () => ({
      process: process.memoryUsage().rss,
    }));
    assert.ok(classified.engine > 0 && loaded.engine >= classified.engine);
    if (times > 1) console.log(`${JSON.stringify(counts)}: ${JSON.stringify(loaded)}`);
  });
}

// The tiny model's work is too small to be shared: here two threads do what one did above.
test('memory is flat with threads that share the work', async () => {
  const counts = { cycles: 30 * times, texts: 500 * times };
  const { classified, loaded } = await soak(fourlane, MODEL, { worker: true, variant, threads: 2 }, counts, () => ({
    process: process.memoryUsage().rss,
  }));
  assert.ok(classified.engine > 0 && loaded.engine >= classified.engine);
  if (times > 1) console.log(`with threads, ${JSON.stringify(counts)}: ${JSON.stringify(loaded)}`);
});

test('memory is flat when workers come and go', async () => {
  let before;
  const rounds = 60;
  for (let i = 0; i < rounds; i += 1) {
    const classify = await fourlane.pipeline('text-classification', exported(), { worker: true, variant });
    await classify('a b');
    await classify.dispose();
    if (i === rounds / 2) before = process.memoryUsage().rss;
  }
  const grown = process.memoryUsage().rss - before;
  assert.ok(grown < 48 << 20, `${grown} bytes more after ${rounds / 2} workers`);
});
