// The default model on the recorded sentences: token ids exactly, logits as close as its card asks.
//
// Rounding in dynamic quantisation flips with the order of float operations, so integer models are compared in the
// mean, at the 95th percentile and at worst. A batch has one range of quantisation, so there a text's logits differ
// from what it gives alone; they are held to the unquantised model, from which they may be as far as the recorded
// ones of the quantised model are.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { info } from 'fourlane';
import { classifier, recorded, variant } from './support.js';

const BATCH = 8;
const ALONE = { reference: 'quantized', mean: 0.02, most: 0.05, worst: 0.4 };
const TOGETHER = { reference: 'fp32', mean: 0.065, most: 0.32, worst: 0.8 };
const classify = await classifier();
const texts = recorded.map((sentence) => sentence.text);

test('the engine under test is the one that runs', () => {
  if (variant) assert.equal(info().variant, variant);
});

test('token ids', () => {
  for (const { text, input_ids: ids } of recorded) {
    assert.deepEqual(classify.tokenize(text), ids, JSON.stringify(text.slice(0, 80)));
  }
});

test('logits, one text at a time', async () => {
  const rows = [];
  for (const text of texts) rows.push(await classify.logits(text));
  hold(rows, ALONE);
});

test('logits, in padded batches', async () => {
  const rows = [];
  for (let i = 0; i < texts.length; i += BATCH) rows.push(...(await classify.logits(texts.slice(i, i + BATCH))));
  hold(rows, TOGETHER);
});

test('logits, all at once', async () => {
  hold(await classify.logits(texts), TOGETHER);
});

test('labels', async () => {
  const results = await classify(texts);
  recorded.forEach(({ text, logits: { quantized } }, i) => {
    const [negative, positive] = quantized;
    if (Math.abs(negative - positive) <= 0.5) return;
    assert.equal(results[i].label, positive > negative ? 'POSITIVE' : 'NEGATIVE', text);
  });
});

function hold(rows, limits) {
  const distances = rows
    .flatMap((row, i) => Array.from(row, (logit, j) => Math.abs(logit - recorded[i].logits[limits.reference][j])))
    .sort((a, b) => a - b);
  const mean = distances.reduce((a, b) => a + b, 0) / distances.length;
  const most = distances[Math.floor(0.95 * distances.length)];
  const worst = distances.at(-1);
  const found = `mean ${mean.toFixed(4)}, 95 % ${most.toFixed(4)}, worst ${worst.toFixed(4)}`;
  assert.ok(mean <= limits.mean && most <= limits.most && worst <= limits.worst, found);
}
