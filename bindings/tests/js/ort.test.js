// `fourlane/ort`, held to what programs written for onnxruntime-web rely on.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import ort, { InferenceSession, Tensor } from 'fourlane/ort';
import { classify as sample } from '../../node_modules/.fourlane-tests/sample.js';
import { best } from './onnx.js';
import { MODEL, classifier, failure, modelFile, recorded } from './support.js';

const bytes = modelFile('onnx/model_quantized.onnx');
const session = await InferenceSession.create(bytes);
const IDS = recorded[0].input_ids;

function feeds(ids = IDS) {
  const shape = [1, ids.length];
  return { input_ids: new Tensor('int64', ids, shape), attention_mask: new Tensor('int64', ids.map(() => 1), shape) };
}

test('the sample of every tutorial', async () => {
  const url = new URL('onnx/model_quantized.onnx', MODEL);
  const [negative, positive] = await sample(url.href, IDS);
  const classify = await classifier();
  const [best] = await classify(recorded[0].text);
  assert.equal(best.label, positive > negative ? 'POSITIVE' : 'NEGATIVE');
  assert.ok(Math.abs(best.score - Math.max(positive, negative)) < 0.01);
});

test('names and metadata', () => {
  assert.deepEqual(session.inputNames, ['input_ids', 'attention_mask']);
  assert.deepEqual(session.outputNames, ['logits']);
  assert.deepEqual(session.inputMetadata[0], {
    name: 'input_ids',
    isTensor: true,
    type: 'int64',
    shape: ['batch_size', 'sequence_length'],
  });
  assert.equal(session.outputMetadata[0].type, 'float32');
});

test('outputs', async () => {
  const { logits } = await session.run(feeds());
  assert.ok(logits instanceof Tensor);
  assert.deepEqual([logits.type, logits.dims, logits.size, logits.location], ['float32', [1, 2], 2, 'cpu']);
  assert.ok(logits.data instanceof Float32Array);
  logits.data.forEach((logit, i) => assert.ok(Math.abs(logit - recorded[0].logits.quantized[i]) < 0.05));
  assert.deepEqual(await logits.getData(), logits.data);

  assert.deepEqual((await session.run(feeds(), ['logits'])).logits.data, logits.data);
  assert.deepEqual((await session.run(feeds(), { logits: null })).logits.data, logits.data);
  assert.deepEqual((await session.run(feeds(), { tag: 'x' })).logits.data, logits.data);
  const given = new Tensor('float32', new Float32Array(2), [1, 2]);
  assert.equal((await session.run(feeds(), { logits: given })).logits, given);
  assert.deepEqual(given.data, logits.data);
  for (const dims of [[1], [2], [2, 1]]) {
    const other = new Tensor('float32', new Float32Array(dims[0]), dims);
    await assert.rejects(session.run(feeds(), { logits: other }), failure('bad-input', /is float32 \[1,2\], .* cannot hold/));
  }
});

test("tensors of onnxruntime's own class, which is not ours", async () => {
  class Foreign {
    constructor(type, data, dims) {
      Object.assign(this, { type, dims, cpuData: data, location: 'cpu' });
    }
    get data() {
      return this.cpuData;
    }
  }
  const foreign = (values) => new Foreign('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const given = new Foreign('float32', new Float32Array(2), [1, 2]);
  const { logits } = await session.run(
    { input_ids: foreign(IDS), attention_mask: foreign(IDS.map(() => 1)) },
    { logits: given },
  );
  assert.equal(logits, given);
  assert.deepEqual(given.data, (await session.run(feeds())).logits.data);
  await assert.rejects(session.run(foreign(IDS)), TypeError);
});

test('a model whose inputs may have any rank', async () => {
  const session = await InferenceSession.create(best());
  assert.deepEqual(session.inputMetadata.map(({ name, shape }) => [name, shape]), [['x', []], ['k', [1]]]);
  const run = async (x, dims, k) => {
    const outputs = await session.run({ x: new Tensor('float32', x, dims), k: new Tensor('int64', [k], [1]) });
    return [outputs.values, outputs.indices].map(({ data, dims }) => [dims, Array.from(data, Number)]);
  };
  assert.deepEqual(await run([1, 3, 2], [3], 2), [[[2], [3, 2]], [[2], [1, 2]]]);
  assert.deepEqual(await run([4, 3, 2, 9], [2, 2], 1), [[[2, 1], [4, 9]], [[2, 1], [0, 1]]]);
  await assert.rejects(run([1, 2], [2], 3), failure('invalid-model', /best 3 of \[2\]/));
  assert.deepEqual(await run([1, 3, 2], [3], 1), [[[1], [3]], [[1], [1]]]);
  assert.deepEqual(session.info().integerModes, {});
  await session.release();
});

test('ways to create', async () => {
  const expected = (await session.run(feeds())).logits.data;
  const url = new URL('onnx/model_quantized.onnx', MODEL);
  const shifted = new Uint8Array(bytes.length + 7);
  shifted.set(bytes, 7);
  const created = [
    await ort.InferenceSession.create('model/onnx/model_quantized.onnx', { executionProviders: ['wasm'] }),
    await InferenceSession.create(url),
    await InferenceSession.create(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    await InferenceSession.create(shifted.buffer, 7),
    await InferenceSession.create(shifted.subarray(7), { graphOptimizationLevel: 'all' }),
  ];
  // Side by side, in turns.
  for (const one of created) assert.deepEqual((await one.run(feeds())).logits.data, expected);
  for (const one of created) {
    assert.deepEqual((await one.run(feeds())).logits.data, expected);
    await one.release();
  }
  const wrong = [
    [[1], TypeError, /path.*buffer/],
    [[bytes, 1], TypeError, /options/],
    [[bytes, null], TypeError, /options/],
    [[url, 'x'], TypeError, /options/],
    [[bytes.buffer, 0.5], RangeError, /'byteOffset' must be an integer/],
    [[bytes.buffer, bytes.buffer.byteLength], RangeError, /'byteOffset' is out of range/],
    [[bytes.buffer, 7, bytes.buffer.byteLength], RangeError, /'byteLength' is out of range/],
    [[bytes.buffer, 0, '1'], TypeError, /'byteLength' must be a number/],
    [[bytes.buffer, 0, 10, 1], TypeError, /options/],
    [[bytes, { executionProviders: 'wasm' }], TypeError, /executionProviders must be an array/],
    [[bytes, { preferredOutputLocation: 'gpu-buffer' }], Error, /preferredOutputLocation is 'gpu-buffer'/],
    [[bytes, { preferredOutputLocation: { logits: 'gpu-buffer' } }], Error, /preferredOutputLocation is 'gpu-buffer'/],
  ];
  for (const [args, type, message] of wrong) {
    await assert.rejects(InferenceSession.create(...args), (error) => error instanceof type && message.test(error.message));
  }
  await assert.rejects(InferenceSession.create('no/such/file.onnx'), failure('missing-file'));
  await assert.rejects(InferenceSession.create(bytes.subarray(0, 1000)), failure('invalid-model'));
  await assert.rejects(InferenceSession.create(new Uint8Array(0)), failure('invalid-model'));
});

test('wrong calls, and the session is usable after each', async () => {
  const { input_ids: ids, attention_mask: mask } = feeds();
  const wrong = [
    [{ input_ids: ids }, { name: 'Error', message: "input 'attention_mask' is missing in 'feeds'." }],
    [{ ...feeds(), other: ids }, { name: 'Error', message: "invalid input 'other'" }],
    [{ input_ids: ids, attention_mask: [1] }, TypeError],
    [null, TypeError],
    [[ids, mask], TypeError],
    [ids, TypeError],
    [{ ...feeds(), input_ids: new Tensor('float32', IDS, ids.dims) }, failure('bad-input', /input_ids.*float32.*int64/)],
    [{ ...feeds(), input_ids: ids.reshape([IDS.length]) }, failure('bad-input', /input_ids/)],
    [{ ...feeds(), input_ids: ids.reshape([IDS.length, 1]) }, failure('bad-input')],
    [{ ...feeds(), input_ids: new Tensor('string', ['a'], [1, 1]) }, failure('bad-input', /string/)],
    [feeds([2, 1_000_000, 3]), failure('bad-input', /1000000/)],
    [feeds([2, -9000, 3]), failure('bad-input', /-9000/)],
    [feeds(Array(513).fill(5)), failure('bad-input')],
  ];
  const expected = (await session.run(feeds())).logits.data;
  for (const [i, [input, error]] of wrong.entries()) {
    await assert.rejects(session.run(input), error, `case ${i}`);
    assert.deepEqual((await session.run(feeds())).logits.data, expected, `after case ${i}`);
  }
  await assert.rejects(session.run(feeds(), ['none']), RangeError);
  await assert.rejects(session.run(feeds(), []), TypeError);
  await assert.rejects(session.run(feeds(), mask), TypeError);
  await assert.rejects(session.run(feeds(), null), TypeError);
  await assert.rejects(session.run(feeds(), 'logits'), TypeError);
  await assert.rejects(session.run(feeds(), ['logits'], null), TypeError);
  await assert.rejects(session.run(feeds(), ['logits'], 1), TypeError);
  assert.deepEqual((await session.run(feeds(), ['logits'], { tag: 'x' })).logits.data, expected);
});

test('what is asked for and not given is told', async () => {
  const options = {
    executionProviders: ['wasm', { name: 'webgpu' }, 'cpu', 'cuda'],
    preferredOutputLocation: { logits: 'cpu' },
    enableGraphCapture: true,
  };
  ort.env.wasm.proxy = true;
  const one = await InferenceSession.create(bytes, options);
  ort.env.wasm.proxy = false;
  const { ignored } = one.info();
  assert.deepEqual(ignored.map((text) => /^[\w.]+(: '\w+')?/.exec(text)[0]), [
    "executionProviders: 'webgpu'", "executionProviders: 'cuda'", 'enableGraphCapture', 'env.wasm.proxy',
  ]);
  await one.release();
  assert.deepEqual(session.info().ignored, []);
  session.startProfiling();
  session.endProfiling();
});

test('env.wasm says where the engine is', () => {
  const create = (settings) => {
    const program = `
      import ort from 'fourlane/ort';
      import { readFileSync } from 'node:fs';
      Object.assign(ort.env.wasm, ${settings});
      await ort.InferenceSession.create('model/onnx/model_quantized.onnx').then(
        (session) => console.log(session.inputNames.join(), ort.env.wasm.simd ? session.info().variant : ''),
        ({ code, message }) => console.log(code, message),
      );
    `;
    const flags = process.execArgv.filter((flag) => flag.includes('wasm'));
    return execFileSync(process.execPath, [...flags, '--input-type=module', '-e', program], { encoding: 'utf8' });
  };
  assert.match(create("{ wasmPaths: 'tests/js/' }"), /^load-failed fourlane-[\w-]+\.wasm is not at tests\/js\//);
  assert.equal(create("{ wasmPaths: 'pkg/' }"), 'input_ids,attention_mask \n');
  assert.equal(create("{ wasmPaths: { wasm: 'pkg/fourlane-simd128.wasm' } }"), 'input_ids,attention_mask \n');
  assert.equal(create("{ wasmBinary: readFileSync('pkg/fourlane-simd128.wasm') }"), 'input_ids,attention_mask \n');
  assert.equal(
    create("{ simd: 'fixed', wasmBinary: new WebAssembly.Module(readFileSync('pkg/fourlane-simd128.wasm')) }"),
    'input_ids,attention_mask simd128\n',
  );
});

test('literal, and what a session says of itself', async () => {
  const literal = await InferenceSession.create(bytes, { literal: true });
  const expected = recorded[0].logits.quantized;
  (await literal.run(feeds())).logits.data.forEach((logit, i) => assert.ok(Math.abs(logit - expected[i]) < 0.02));
  assert.equal(literal.info().literal, true);
  const { variant, reason, literal: isLiteral, memoryBytes } = session.info();
  assert.deepEqual([isLiteral, typeof variant, typeof reason], [false, 'string', 'string']);
  assert.ok(memoryBytes > 10_000_000 && memoryBytes < 40_000_000, `${memoryBytes}`);
  await literal.release();
  assert.throws(() => literal.info(), failure('disposed'));
  await assert.rejects(InferenceSession.create(bytes, { literal: 1 }), TypeError);
});

test('use after release', async () => {
  const gone = await InferenceSession.create(bytes);
  await gone.release();
  await gone.release();
  await assert.rejects(gone.run(feeds()), failure('disposed', /session was disposed/));
});

test('a run that needs too much memory is an error, not a crash', async () => {
  const shape = [1800, 512];
  const ones = new Tensor('int64', new BigInt64Array(1800 * 512).fill(1n), shape);
  const run = session.run({ input_ids: ones, attention_mask: ones });
  await assert.rejects(run, failure('out-of-memory', /fewer or shorter texts/));
  assert.equal((await session.run(feeds())).logits.size, 2);
});

test('the engine restarts after a crash', async () => {
  const old = await InferenceSession.create(bytes);
  // All that a wasm module can address: this traps when it is copied inside.
  const huge = new Tensor('int64', new BigInt64Array(2 ** 29 - 2 ** 17), [1, 2 ** 29 - 2 ** 17]);
  const run = old.run({ input_ids: huge, attention_mask: huge });
  await assert.rejects(run, failure('crashed', /memory/));
  await assert.rejects(old.run(feeds()), failure('crashed', /was lost/));
  await old.release();
  const fresh = await InferenceSession.create(bytes);
  assert.equal((await fresh.run(feeds())).logits.size, 2);
});
