// Where pipelines run: in a worker of the package, or on the thread that asks. Chromium's part is in worker.browser.js.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { info, pipeline } from 'fourlane';
import { classifier, exported, failure, modelFile, recorded } from './support.js';

const TEXTS = recorded.map(({ text }) => text);
const GOOD = 'A warm, funny, wonderful film.';
const files = () => ({
  'config.json': modelFile('config.json'),
  'tokenizer.json': modelFile('tokenizer.json'),
  'onnx/model_quantized.onnx': modelFile('onnx/model_quantized.onnx'),
});

test('a worker by default, this thread on demand: the same bits', async () => {
  const there = await classifier();
  assert.equal(there.info().worker, true);
  assert.equal(info().worker, true);
  assert.match(there.info().workerReason, /does not wait/);
  const here = await classifier({ worker: false });
  assert.deepEqual([here.info().worker, here.info().workerReason], [false, 'options.worker is false']);
  assert.equal(here.info().variant, there.info().variant);
  assert.deepEqual(await there.logits(TEXTS), await here.logits(TEXTS));
  assert.deepEqual(await there(TEXTS, { top_k: null }), await here(TEXTS, { top_k: null }));
  assert.deepEqual(await there.tokenize(GOOD), await here.tokenize(GOOD));
  assert.deepEqual(there.labels, here.labels);
  await Promise.all([there.dispose(), here.dispose()]);
  await assert.rejects(classifier({ worker: 'no' }), TypeError);
});

test('the thread that asks does not wait', async () => {
  const turns = async (worker) => {
    const classify = await classifier({ worker });
    let count = 0;
    const timer = setInterval(() => (count += 1), 1);
    await classify(TEXTS.join(' ').repeat(10)); // the most tokens that there can be
    clearInterval(timer);
    await classify.dispose();
    return count;
  };
  assert.ok((await turns(false)) <= 2);
  assert.ok((await turns(true)) > 5);
});

test('in a worker already', async () => {
  const code = `
    import { pipeline } from '${new URL('../../pkg/index.js', import.meta.url)}';
    import { parentPort } from 'node:worker_threads';
    const classify = await pipeline('sentiment-analysis');
    parentPort.postMessage([classify.info().worker, classify.info().workerReason, await classify('${GOOD}')]);
  `;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
  const [isWorker, reason, [{ label }]] = await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
  assert.deepEqual([isWorker, reason, label], [false, 'this is a worker already', 'POSITIVE']);
});

test('a process ends when it has nothing else to do', async () => {
  const code = `
    import { pipeline } from '${new URL('../../pkg/index.js', import.meta.url)}';
    const classify = await pipeline('sentiment-analysis');
    console.log((await classify('${GOOD}'))[0].label);
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { timeout: 60_000 });
  assert.equal(stdout.trim(), 'POSITIVE');
});

test('calls at once give what they give alone', async () => {
  const texts = TEXTS.slice(0, 16);
  for (const worker of [true, false]) {
    const classify = await classifier({ worker });
    const other = await classifier({ worker, literal: true });
    const alone = [];
    for (const text of texts) alone.push(await classify.logits(text));
    const literal = await other.logits(texts);
    const calls = texts.map((text) => classify.logits(text));
    const literals = texts.map((text) => other.logits(text));
    const [all] = await Promise.all([classify.logits(texts), ...literals]);
    assert.deepEqual(await Promise.all(calls), alone);
    assert.deepEqual(all, alone);
    assert.deepEqual(await Promise.all(literals), literal);
    await Promise.all([classify.dispose(), other.dispose()]);
  }
});

test('calls are broken off', async () => {
  for (const worker of [true, false]) {
    const classify = await classifier({ worker });
    const reason = new Error('the reader went on');
    await assert.rejects(classify(GOOD, { signal: AbortSignal.abort(reason) }), reason);
    const many = Array(20).fill(TEXTS).flat();
    const controller = new AbortController();
    let last = 0;
    const onProgress = ({ loaded, total }) => {
      last = loaded;
      assert.equal(total, many.length);
      if (loaded > 50) controller.abort(reason);
    };
    await assert.rejects(classify(many, { signal: controller.signal, onProgress }), reason);
    assert.ok(last > 50 && last < 150, `${last}`);
    const timed = classify(many, { signal: AbortSignal.timeout(20) });
    await assert.rejects(timed, { name: 'TimeoutError' });
    for (const wrong of [{ signal: 1 }, { onProgress: 1 }]) await assert.rejects(classify(GOOD, wrong), TypeError);
    const waiting = assert.rejects(classify(many), failure('disposed'));
    await classify.dispose();
    await waiting;
  }
});

test('bytes are left, or moved', async () => {
  const [kept, moved, part] = [files(), files(), files()];
  await (await pipeline('sentiment-analysis', kept)).dispose();
  assert.ok(Object.values(kept).every(({ length }) => length > 0));
  await (await pipeline('sentiment-analysis', moved, { transfer: true })).dispose();
  assert.equal(moved['onnx/model_quantized.onnx'].length, 0);
  const model = part['onnx/model_quantized.onnx'];
  const larger = new Uint8Array(model.length + 1);
  larger.set(model, 1);
  part['onnx/model_quantized.onnx'] = larger.subarray(1);
  part['config.json'] = new Uint8Array(new SharedArrayBuffer(files()['config.json'].length));
  part['config.json'].set(files()['config.json']);
  const classify = await pipeline('sentiment-analysis', part, { transfer: true });
  assert.ok(larger.length > 0, 'a part does not take the whole along');
  assert.equal((await classify(GOOD))[0].label, 'POSITIVE');
  await classify.dispose();
  await assert.rejects(pipeline('sentiment-analysis', { ...files(), 'config.json': () => {} }), TypeError);
});

test('pipelines that are disposed of at once, and their worker with them', async () => {
  for (let i = 0; i < 30; i += 1) {
    const two = await Promise.all([1, 2].map(() => pipeline('text-classification', exported())));
    await Promise.all(two.map((classify) => classify.dispose()));
  }
});

test('a crash, and what comes after', async () => {
  for (const worker of [true, false]) {
    const [one, other] = await Promise.all([classifier({ worker }), classifier({ worker })]);
    // More than a wasm module can address.
    const huge = { ...files(), 'tokenizer_config.json': new Uint8Array(2 ** 32 - 2 ** 17) };
    await assert.rejects(pipeline('sentiment-analysis', huge, { worker, transfer: true }), failure('crashed', /the engine crashed/));
    await assert.rejects(one(GOOD), failure('crashed', /was lost when the engine crashed/));
    const after = await classifier({ worker });
    assert.equal((await after(GOOD))[0].label, 'POSITIVE');
    await Promise.all([one.dispose(), other.dispose(), after.dispose()]);
  }
});
