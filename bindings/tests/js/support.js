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

/** A tiny classifier of a real exporter, with a made-up tokenizer: an object of files. */
export function exported() {
  const bytes = (text) => new TextEncoder().encode(text);
  const model = new URL('../../../onnx-loader/tests/models/distilbert-e2024-tjs-int8.onnx', import.meta.url);
  return {
    'config.json': bytes('{"max_position_embeddings": 64}'),
    'vocab.txt': bytes(['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a', 'b', 'c', 'ab', 'ba', 'abc'].join('\n')),
    'onnx/model_quantized.onnx': new Uint8Array(readFileSync(model)),
  };
}
