// Weights in files beside the model: where they are looked for, how they may be given, what is said if they are wrong.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { pipeline } from 'fourlane';
import { InferenceSession, Tensor } from 'fourlane/ort';
import { floats, safetensors, sum } from './onnx.js';
import { failure, variant } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'fourlane-'));
after(() => rmSync(folder, { recursive: true }));

/** Writes files into a new folder and gives its path. */
function folderOf(files) {
  const path = mkdtempSync(join(folder, 'case-'));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(path, name, '..'), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return path;
}

async function y(session) {
  const { y } = await session.run({ x: new Tensor('float32', [0.5, 0], [2]) });
  await session.release();
  return Array.from(y.data);
}

// w is at the end of one file, v in another in a folder of its own.
const W = { name: 'w', external: { location: 'model.onnx_data', offset: 4, length: 8 } };
const V = { name: 'v', external: { location: './parts/v.bin' } };
const MODEL = sum(2, [W, V]);
const WEIGHTS = floats(9, 1, 2);
const PARTS = floats(10, 20);
const FILES = { 'model.onnx': MODEL, 'model.onnx_data': WEIGHTS, 'parts/v.bin': PARTS };

test('a session finds the files beside its model', async () => {
  const path = folderOf(FILES);
  assert.deepEqual(await y(await InferenceSession.create(join(path, 'model.onnx'))), [11.5, 22]);
  assert.deepEqual(await y(await InferenceSession.create(pathToFileURL(join(path, 'model.onnx')))), [11.5, 22]);
});

test('externalData, in every form', async () => {
  const path = folderOf(FILES);
  const data = new Uint8Array(WEIGHTS);
  const shifted = new Uint8Array(20).subarray(3, 15);
  shifted.set(WEIGHTS);
  const parts = { path: 'parts/v.bin', data: PARTS };
  const forms = [
    { path: 'model.onnx_data', data },
    { path: './model.onnx_data', data: data.buffer },
    { path: 'model.onnx_data', data: shifted },
    { path: 'model.onnx_data', data: new Blob([data]) },
    { path: 'model.onnx_data', data: join(path, 'model.onnx_data') },
    { path: 'model.onnx_data', data: pathToFileURL(join(path, 'model.onnx_data')) },
    join(path, 'model.onnx_data'),
    `${pathToFileURL(join(path, 'model.onnx_data'))}?version=2`,
  ];
  for (const [i, form] of forms.entries()) {
    const session = await InferenceSession.create(MODEL, { externalData: [form, parts] });
    assert.deepEqual(await y(session), [11.5, 22], `form ${i}`);
  }
  // What is given goes before what is beside the model; what the model does not name is not fetched.
  const other = { path: 'model.onnx_data', data: floats(0, 5, 5) };
  const unused = { path: 'other', data: 'http://localhost:9/' };
  const options = { externalData: [other, unused] };
  assert.deepEqual(await y(await InferenceSession.create(join(path, 'model.onnx'), options)), [15.5, 25]);
});

test('files that are not there, or not right', async () => {
  const create = (externalData) => InferenceSession.create(MODEL, { externalData });
  const parts = { path: 'parts/v.bin', data: PARTS };
  await assert.rejects(create(undefined), failure('missing-file', /'model\.onnx_data', which is not in options\.externalData$/));
  await assert.rejects(create([parts]), failure('missing-file', /'model\.onnx_data'.*which has 'parts\/v\.bin'$/));
  const lone = join(folderOf({ 'model.onnx': MODEL, 'model.onnx_data': WEIGHTS }), 'model.onnx');
  await assert.rejects(InferenceSession.create(lone), failure('missing-file', /'parts\/v\.bin'.* not in file:\/\/.*case-/));
  const nowhere = { path: 'model.onnx_data', data: join(folder, 'nowhere') };
  await assert.rejects(create([nowhere, parts]), failure('missing-file', /no file at .*nowhere/));

  const short = { path: 'model.onnx_data', data: WEIGHTS.subarray(0, 11) };
  const message = /tensor 'w' is in the file 'model\.onnx_data'.*8 bytes at 4 reach past its end at 11; it may be cut short/;
  await assert.rejects(create([short, parts]), failure('invalid-model', message));
  await assert.rejects(create([{ path: 'model.onnx_data', data: new Uint8Array(0) }, parts]), failure('invalid-model'));

  for (const wrong of ['model.onnx_data', {}, [1], [null], [{ path: 'model.onnx_data' }], [{ data: WEIGHTS }]]) {
    await assert.rejects(create(wrong), TypeError, JSON.stringify(wrong));
  }
  await assert.rejects(create([{ path: 'model.onnx_data', data: 1 }, parts]), TypeError);
});

test('a model does not reach outside its folder', async () => {
  const secret = folderOf({ 'secret.bin': WEIGHTS, 'model/keep': '' });
  for (const location of ['../secret.bin', 'a/../../secret.bin', join(secret, 'secret.bin'), 'file:///etc/passwd', 'http://localhost:9/x', '%2e%2e/secret.bin']) {
    writeFileSync(join(secret, 'model/model.onnx'), sum(2, [{ name: 'w', external: { location } }]));
    const code = /^(\.\.|a)?\//.test(location) ? 'invalid-model' : 'missing-file';
    await assert.rejects(InferenceSession.create(join(secret, 'model/model.onnx')), failure(code), location);
  }
});

test('safetensors, by place and by name', async () => {
  const file = safetensors({ v: ['F32', [2], PARTS], w: ['F32', [2], floats(1, 2)], h: ['F16', [2], new Uint8Array(4)] });
  const byName = (name) => ({ name, external: { location: 'weights.safetensors' } });
  const create = (weights, data = file) => {
    return InferenceSession.create(sum(2, weights), { externalData: [{ path: 'weights.safetensors', data }] });
  };
  assert.deepEqual(await y(await create([byName('w'), byName('v')])), [11.5, 22]);
  const placed = { name: 'any', external: { location: 'weights.safetensors', offset: file.length - 12, length: 8 } };
  assert.deepEqual(await y(await create([placed, byName('v')])), [11.5, 22]);
  const path = folderOf({ 'model.onnx': sum(2, [byName('w')]), 'weights.safetensors': file });
  assert.deepEqual(await y(await InferenceSession.create(join(path, 'model.onnx'))), [1.5, 2]);

  const refused = async (weights, data, message) => {
    await assert.rejects(create(weights, data), failure('invalid-model', message));
  };
  await refused([byName('u')], file, /tensor 'u' is in the file 'weights\.safetensors'.*no tensor of this name/);
  await refused([byName('h')], file, /its elements are F16 there, and float in the model/);
  await refused([byName('w')], safetensors({ w: ['F32', [1, 2], PARTS] }), /its shape is \[1, 2\] there, and \[2\]/);
  await refused([byName('w')], file.subarray(0, file.length - 5), /8 bytes at \d+ reach past its end at \d+; it may be cut/);
  await refused([byName('w')], file.subarray(0, 100), /it has 100 bytes, its header \d+/);
  await refused([byName('w')], new Uint8Array(7), /it has 7 bytes/);
  await refused([byName('w')], new Uint8Array(100).fill(255), /header/);
  await refused([byName('w')], new TextEncoder().encode('<!doctype html><title>Not found</title>'), /header/);
  const { length } = file;
  for (let i = 0; i < length; i += 1) {
    const damaged = Uint8Array.from(file);
    damaged[i] ^= 255;
    const outcome = await create([byName('w')], damaged).then((session) => session.release(), (error) => error.code);
    assert.ok(outcome === undefined || outcome === 'invalid-model', `byte ${i}: ${outcome}`);
  }
});

// A real export; its tokenizer is made up.
const models = new URL('../../../onnx-loader/tests/models/', import.meta.url);
const NAME = 'distilbert-e2025-tjs-external';
const exported = (extension) => readFileSync(new URL(`${NAME}.${extension}`, models));
const classifier = () => ({
  'config.json': '{"max_position_embeddings": 64}',
  'vocab.txt': ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a', 'b'].join('\n'),
  [`onnx/${NAME}.onnx`]: exported('onnx'),
  [`onnx/${NAME}.onnx_data`]: exported('onnx_data'),
});
const options = { model_file_name: NAME, dtype: 'fp32', use_external_data_format: true, variant };

test('a pipeline finds the files beside its model', async () => {
  const path = folderOf(classifier());
  const bytes = Object.entries(classifier()).map(([name, content]) => [name, new Uint8Array(Buffer.from(content))]);
  const flat = bytes.map(([name, content]) => [name.replace('onnx/', ''), content]);
  const half = bytes.map(([name, content]) => [name.replace('onnx/distilbert-e2025-tjs-external.onnx_data', `${NAME}.onnx_data`), content]);
  const asked = [];
  const server = createServer(({ url }, response) => {
    asked.push(url);
    const content = classifier()[url.slice(1)];
    if (content) response.end(content);
    else response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const results = [];
    const sources = [path, Object.fromEntries(bytes), Object.fromEntries(flat), Object.fromEntries(half)];
    for (const source of [...sources, `http://127.0.0.1:${server.address().port}`]) {
      const classify = await pipeline('text-classification', source, options);
      results.push(await classify.logits('a b'));
      await classify.dispose();
    }
    for (const result of results) assert.deepEqual(result, results[0]);
    assert.equal(asked.filter((url) => url === `/onnx/${NAME}.onnx_data`).length, 1);
  } finally {
    server.closeAllConnections();
    server.close();
  }

  const { [`onnx/${NAME}.onnx_data`]: weights, ...without } = classifier();
  const message = new RegExp(`'${NAME}\\.onnx_data', which is not beside 'onnx/${NAME}\\.onnx'`);
  await assert.rejects(pipeline('text-classification', folderOf(without), options), failure('missing-file', message));
  const cut = { ...without, [`onnx/${NAME}.onnx_data`]: weights.subarray(0, 100_000) };
  await assert.rejects(pipeline('text-classification', folderOf(cut), options), failure('invalid-model', /cut short/));
});

test('weights are in the memory of the engine once', async () => {
  const length = 4 << 20;
  const external = (i) => ({ location: 'data', offset: 4 * length * i });
  const weights = Array.from({ length: 8 }, (_, i) => ({ name: `w${i}`, external: external(i) }));
  const data = new Uint8Array(4 * length * weights.length);
  const small = await InferenceSession.create(sum(2, [W]), { externalData: [{ path: 'model.onnx_data', data: WEIGHTS }] });
  const before = small.info().engineBytes;
  const session = await InferenceSession.create(sum(length, weights), { externalData: [{ path: 'data', data }] });
  const { memoryBytes, engineBytes } = session.info();
  assert.ok(memoryBytes >= data.length && memoryBytes < 1.01 * data.length, `${memoryBytes}`);
  const grown = engineBytes - before;
  assert.ok(grown < 1.15 * data.length, `${data.length} bytes of weights took ${grown}`);
  await Promise.all([session.release(), small.release()]);
});
