// What onnxruntime-web's tutorials show for a text classifier, with the import line changed and nothing else:
// a session from a URL, int64 tensors padded to 128, a run, and a softmax by hand.

import * as ort from 'fourlane/ort';

const LENGTH = 128;

function toTensor(values: number[]): ort.Tensor {
  const data = new BigInt64Array(LENGTH);
  values.forEach((value, i) => (data[i] = BigInt(value)));
  return new ort.Tensor('int64', data, [1, LENGTH]);
}

function softmax(logits: number[]): number[] {
  const max = Math.max(...logits);
  const exps = logits.map((logit) => Math.exp(logit - max));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((exp) => exp / sum);
}

export async function classify(modelUrl: string, ids: number[]): Promise<number[]> {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.simd = true;
  const session = await ort.InferenceSession.create(modelUrl, {
    executionProviders: ['wasm'],
    graphOptimizationLevel: 'all',
  });

  const feeds: Record<string, ort.Tensor> = {
    input_ids: toTensor(ids),
    attention_mask: toTensor(ids.map(() => 1)),
  };
  const results = await session.run(feeds);
  const output = results[session.outputNames[0]];
  const probabilities = softmax(Array.from(output.data as Float32Array));
  await session.release();
  return probabilities;
}
