// What a text costs, step by step, and where its values lie.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classifier } from './support.js';

const TEXT = 'The plot is thin, but the two leads are a joy to watch.';

test('a profile tells of each step, and no two values share bytes at a time', async () => {
  const classify = await classifier();
  const before = await classify.logits(TEXT);
  const tokens = (await classify.tokenize(TEXT)).length;
  const { steps, arena, arenaBytes } = await classify.profile(TEXT, { runs: 3 });

  assert.ok(steps.every(({ milliseconds }) => milliseconds >= 0) && steps.some(({ milliseconds }) => milliseconds > 0));
  const gelu = steps.filter(({ operator }) => operator.endsWith('+Gelu'));
  // Of the last layer only the first token is computed.
  const shapes = [...Array(5).fill([1, tokens, 1536]), [1, 1, 1536]];
  assert.deepEqual(gelu.map(({ output }) => output), shapes);
  assert.ok(gelu.every(({ name, bytes, output }) => name !== '' && bytes > 384 * 1536 + 4 * output[1] * 1536));
  assert.deepEqual(steps.at(-1).output, [1, 2]);

  const end = ({ offset, bytes }) => offset + bytes;
  assert.equal(arenaBytes, Math.max(...arena.map(end)));
  assert.ok(arena.every(({ first, last }) => first <= last && last < steps.length));
  const apart = (a, b) => end(a) <= b.offset || end(b) <= a.offset || a.last < b.first || b.last < a.first;
  arena.forEach((a, i) => arena.slice(0, i).forEach((b) => assert.ok(apart(a, b), JSON.stringify([a, b]))));
  assert.ok(['input', 'result', 'scratch'].every((kind) => arena.some(({ holds }) => holds === kind)));

  assert.deepEqual(await classify.logits(TEXT), before);
  await classify.dispose();
});

test('what cannot be profiled', async () => {
  const classify = await classifier();
  await assert.rejects(classify.profile(7), { name: 'TypeError', message: /expected a text/ });
  await assert.rejects(classify.profile(TEXT, { runs: 0 }), { name: 'TypeError', message: 'runs must be a positive integer, got 0' });
  await classify.dispose();
  await assert.rejects(classify.profile(TEXT), { code: 'disposed' });
});
