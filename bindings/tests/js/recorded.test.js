// The default model on the recorded sentences: token ids exactly, logits as close as its card asks.
//
// Under `literal`, ranges of quantisation are ONNX's, and logits those recorded; but rounding flips with the order of
// float operations, so they are compared in the mean, at the 95th percentile and at worst. By default each token has a
// range of its own, so logits are others; they are held to the unquantised model, from which they may be as far as the
// recorded ones are. Either way a text gives the same in a batch as alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { info } from 'fourlane';
import { classifier, recorded, variant } from './support.js';

const BATCH = 8;
const MODES = {
  'by default': { options: {}, reference: 'fp32', mean: 0.065, most: 0.48, worst: 0.48 },
  'under literal': { options: { literal: true }, reference: 'quantized', mean: 0.02, most: 0.05, worst: 0.4 },
};
const classify = await classifier();
const texts = recorded.map((sentence) => sentence.text);

test('the engine under test is the one that runs', () => {
  if (variant) assert.equal(info().variant, variant);
});

test('token ids', async () => {
  for (const { text, input_ids: ids } of recorded) {
    assert.deepEqual(await classify.tokenize(text), ids, JSON.stringify(text.slice(0, 80)));
  }
});

for (const [mode, limits] of Object.entries(MODES)) {
  test(`logits ${mode}, one text at a time, in padded batches, all at once`, async () => {
    const classify = await classifier(limits.options);
    const alone = [];
    for (const text of texts) alone.push(await classify.logits(text));
    hold(alone, limits);
    const batches = [];
    for (let i = 0; i < texts.length; i += BATCH) batches.push(...(await classify.logits(texts.slice(i, i + BATCH))));
    hold(batches, limits);
    assert.deepEqual(batches, alone);
    assert.deepEqual(await classify.logits(texts), alone);
    await classify.dispose();
  });
}

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
