// Shared by the tests in Node.

import { readFileSync } from 'node:fs';
import { load, pipeline } from 'fourlane';

/** The engine under test; without it, the best that this Node runs. */
export const variant = process.env.FOURLANE_VARIANT;
await load({ variant });

/** The default model's folder. */
export const MODEL = new URL('../../model/', import.meta.url);

export function modelFile(path) {
  return new Uint8Array(readFileSync(new URL(path, MODEL)));
}

/** Sentences with their token ids and reference logits. */
export const recorded = JSON.parse(readFileSync(new URL('expected.json', MODEL), 'utf8'));

/** The default model. */
export function classifier(options) {
  return pipeline('sentiment-analysis', MODEL, options);
}

export function softmax(logits) {
  const max = Math.max(...logits);
  const exps = Array.from(logits, (logit) => Math.exp(logit - max));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((exp) => exp / sum);
}

/** For assert.rejects: an error with this code, and words in its message. */
export function failure(code, words = /./) {
  return { name: 'FourlaneError', code, message: words };
}
