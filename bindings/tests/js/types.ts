// The types as programs use them: this file is compiled, not run.

import { FourlaneError, info, load, pipeline } from 'fourlane';
import type { Dtype, Label, Profile, TextClassificationPipeline } from 'fourlane';
import ort, { InferenceSession, Tensor } from 'fourlane/ort';

export async function pipelines(): Promise<void> {
  const classify = await pipeline('sentiment-analysis', 'https://example.org/model/', { dtype: 'q8', variant: 'simd128' });
  const one: Label[] = await classify('text');
  const many: Label[] = await classify(['a', 'b']);
  const all: Label[] = await classify('text', { top_k: null });
  const nested: Label[][] = await classify(['a', 'b'], { top_k: null });
  const ids: number[] = await classify.tokenize('text');
  await classify(['a', 'b'], { signal: AbortSignal.timeout(1000), onProgress: ({ loaded, total }) => console.log(loaded / total) });
  const row: Float32Array = await classify.logits('text');
  const rows: Float32Array[] = await classify.logits(['a', 'b']);
  await classify.dispose();
  await pipeline('text-classification', { 'config.json': new ArrayBuffer(2), 'model.onnx': new Blob([]) });
  await pipeline('text-classification', '/model', { dtype: { model: 'q8' }, subfolder: '', literal: true, accuracy: 'fast' });
  await pipeline('text-classification', '/model', { dtype: 'auto', use_external_data_format: true });
  await pipeline('text-classification', '/model', {
    onProgress: (event) => event.status === 'progress_total' && console.log(event.progress, event.files),
    signal: AbortSignal.timeout(1000),
    cache: 'models',
    integrity: { 'config.json': 'sha256-' },
  });
  await pipeline('text-classification', { 'model.onnx': new ArrayBuffer(2) }, { worker: true, transfer: true });
  const { worker, workerReason }: { worker: boolean; workerReason: string } = classify.info();
  console.log(worker, workerReason);
  const { file, dtype, literal, memoryBytes, maxLength } = classify.info();
  const facts: [string, Dtype, boolean, number, number] = [file, dtype, literal, memoryBytes, maxLength];
  const { variant } = await load({ wasmPath: '/static/' });
  const reason: string | undefined = info()?.reason;
  console.log(one[0].label, many[0].score, all, nested, ids, row, rows, variant, reason, facts);

  // @ts-expect-error: no such task
  await pipeline('translation');
  // @ts-expect-error: texts are strings
  await classify(1);
  // @ts-expect-error: a flag
  await pipeline('sentiment-analysis', null, { literal: 'yes' });
  // @ts-expect-error: no such precision
  await pipeline('sentiment-analysis', null, { dtype: 'fp8' });
}

export async function sessions(bytes: Uint8Array): Promise<void> {
  const session: InferenceSession = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  const externalData = [{ path: 'model.onnx_data', data: new ArrayBuffer(0) }, '/model.onnx_data_1'];
  await InferenceSession.create('model.onnx', { externalData, literal: true });
  const running: string = session.info().variant;
  const mask = new Tensor('int64', [1n, 1n], [1, 2]);
  const data: BigInt64Array = mask.data;
  const floats: Float32Array = new Tensor(new Float32Array(2), [2]).data;
  const feeds: Record<string, Tensor> = { mask, flags: new Tensor('bool', [true], [1]) };
  const { logits } = await session.run(feeds, ['logits']);
  const shape: ReadonlyArray<number | string> = session.inputMetadata[0].shape;
  console.log(data, floats, logits.dims, logits.reshape([2]).size, await logits.getData(), shape, running);
  try {
    await session.run(feeds);
  } catch (error) {
    if (error instanceof FourlaneError && error.code === 'bad-input') console.log(error.message);
  }

  // @ts-expect-error: a path without data
  await InferenceSession.create(bytes, { externalData: [{ path: 'model.onnx_data' }] });
  // @ts-expect-error: not an element type
  new Tensor('int63', [1]);
  // @ts-expect-error: floats are no int64
  new Tensor('int64', new Float32Array(1));
}

export async function profiles(classify: TextClassificationPipeline): Promise<number> {
  const { steps, arena, arenaBytes }: Profile = await classify.profile('x', { runs: 3 });
  const inputs = arena.filter(({ holds }) => holds === 'input').map(({ offset, bytes }) => offset + bytes);
  // @ts-expect-error: of one text
  await classify.profile(['x']);
  return steps[0].milliseconds + Math.max(arenaBytes, ...inputs);
}
