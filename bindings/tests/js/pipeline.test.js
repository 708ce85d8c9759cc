// The pipeline as pages use it: shapes of results as in transformers.js, sources, odd texts, errors.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { FourlaneError, info, load, pipeline } from 'fourlane';
import { MODEL, classifier, failure, modelFile, softmax, variant } from './support.js';

const GOOD = 'An absolute masterpiece, beautifully shot.';
const BAD = 'The plot makes no sense and the acting is wooden.';
const classify = await classifier();

const files = () => ({
  'config.json': modelFile('config.json'),
  'tokenizer.json': modelFile('tokenizer.json'),
  'onnx/model_quantized.onnx': modelFile('onnx/model_quantized.onnx'),
});

test('shapes of results', async () => {
  const [best] = await classify(GOOD);
  assert.deepEqual(Object.keys(best), ['label', 'score']);
  assert.equal(best.label, 'POSITIVE');
  assert.ok(best.score > 0.9 && best.score <= 1);

  const flat = await classify([GOOD, BAD]);
  assert.deepEqual(flat.map((result) => result.label), ['POSITIVE', 'NEGATIVE']);
  assert.deepEqual(await classify([GOOD]), [best]);

  const all = await classify(GOOD, { top_k: null });
  assert.deepEqual(all.map((result) => result.label), ['POSITIVE', 'NEGATIVE']);
  assert.ok(Math.abs(all[0].score + all[1].score - 1) < 1e-6);
  assert.deepEqual(await classify(GOOD, { top_k: 2 }), all);
  assert.deepEqual(await classify(GOOD, { top_k: 99 }), all);
  const nested = await classify([GOOD, BAD], { top_k: null });
  assert.deepEqual(nested.map((results) => results.length), [2, 2]);
  assert.equal(nested[1][0].label, 'NEGATIVE');
});

test('scores are the softmax of the logits', async () => {
  const [negative, positive] = softmax(await classify.logits(BAD));
  const scores = Object.fromEntries((await classify(BAD, { top_k: null })).map(({ label, score }) => [label, score]));
  assert.ok(Math.abs(scores.NEGATIVE - negative) < 1e-6);
  assert.ok(Math.abs(scores.POSITIVE - positive) < 1e-6);
  assert.deepEqual(classify.labels, ['NEGATIVE', 'POSITIVE']);
});

test('the same text gives the same bits, call after call', async () => {
  const first = await classify.logits(GOOD);
  await classify([BAD, GOOD, '']);
  assert.deepEqual(await classify.logits(GOOD), first);
});

test('odd texts', async () => {
  const [empty] = await classify('');
  assert.ok(empty.score >= 0.5);
  assert.deepEqual(await classify.tokenize(''), [2, 3]);
  assert.deepEqual(await classify.tokenize('a \ud800 b'), await classify.tokenize('a \ufffd b'));
  assert.deepEqual(await classify('a \udc00 b'), await classify('a \ufffd b'));

  const long = 'a rather long sentence about a film '.repeat(300);
  assert.equal((await classify.tokenize(long)).length, 512);
  assert.equal((await classify.tokenize(long)).at(-1), 3);
  const megabyte = 'word '.repeat(200_000);
  assert.deepEqual(await classify(megabyte), await classify(megabyte.slice(0, 10_000)));
  await classify('x'.repeat(1_000_000));
});

test('many texts', async () => {
  const many = Array.from({ length: 300 }, (_, i) => (i % 3 ? GOOD : BAD));
  const results = await classify(many);
  assert.deepEqual(results.map((result) => result.label), many.map((text) => (text === GOOD ? 'POSITIVE' : 'NEGATIVE')));
});

test('wrong arguments are TypeErrors', async () => {
  for (const wrong of [undefined, null, 1, {}, [], ['a', 1], [['a']]]) {
    await assert.rejects(classify(wrong), TypeError, JSON.stringify(wrong));
  }
  for (const topK of [0, -1, 1.5, '2', NaN]) await assert.rejects(classify(GOOD, { top_k: topK }), TypeError, `${topK}`);
  for (const source of [1, true, []]) await assert.rejects(pipeline('sentiment-analysis', source), TypeError);
  await assert.rejects(pipeline('sentiment-analysis', MODEL, { dtype: 'fp8' }), TypeError);
  await assert.rejects(pipeline('sentiment-analysis', { ...files(), 'config.json': '{}' }), TypeError);
  await assert.rejects(load({ variant: 'avx' }), TypeError);
  await assert.rejects(pipeline('translation', MODEL), failure('unsupported-task', /'translation'/));
});

test('the default model, and sources of every kind', async () => {
  const expected = await classify(GOOD);
  const { 'onnx/model_quantized.onnx': model, ...rest } = files();
  const sources = [
    undefined,
    new URL('../../model', import.meta.url),
    'model',
    files(),
    { ...rest, 'model.onnx': model.slice().buffer },
    { ...rest, 'model.onnx': new Blob([model]), 'config.json': new Response(rest['config.json']) },
    { ...rest, 'model.onnx': new URL('onnx/model_quantized.onnx', MODEL) },
  ];
  for (const [i, source] of sources.entries()) {
    const other = await pipeline('text-classification', source);
    assert.deepEqual(await other(GOOD), expected, `source ${i}`);
    await other.dispose();
  }
});

test('the model file is chosen as in transformers.js', async () => {
  const { 'onnx/model_quantized.onnx': model, ...rest } = files();
  const json = (settings) => new TextEncoder().encode(JSON.stringify({ 'transformers.js_config': settings }));
  // The files there are, the options, and which is taken.
  const cases = [
    [['onnx/model.onnx', 'onnx/model_quantized.onnx', 'model_quantized.onnx'], {}, 'onnx/model_quantized.onnx', 'q8'],
    [['onnx/model.onnx', 'model_quantized.onnx'], { dtype: 'auto' }, 'onnx/model.onnx', 'fp32'],
    [['onnx/model.onnx', 'onnx/model_uint8.onnx'], {}, 'onnx/model_uint8.onnx', 'uint8'],
    [['onnx/model_fp16.onnx', 'onnx/model_q4.onnx'], {}, 'onnx/model_fp16.onnx', 'fp16'],
    [['onnx/model_bnb4.onnx', 'onnx/model_q4f16.onnx'], {}, 'onnx/model_q4f16.onnx', 'q4f16'],
    [['onnx/model.onnx', 'onnx/model_quantized.onnx'], { dtype: 'fp32' }, 'onnx/model.onnx', 'fp32'],
    [['model_int8.onnx'], { dtype: 'int8' }, 'model_int8.onnx', 'int8'],
    [['onnx/model.onnx', 'onnx/model_bnb4.onnx'], { dtype: { model: 'bnb4' } }, 'onnx/model_bnb4.onnx', 'bnb4'],
    [['onnx/a.onnx', 'onnx/a_q4.onnx'], { model_file_name: 'a', dtype: { a: 'q4', model: 'fp32' } }, 'onnx/a_q4.onnx', 'q4'],
    [['onnx/model.onnx', 'onnx/model_quantized.onnx'], { dtype: { other: 'fp32' } }, 'onnx/model_quantized.onnx', 'q8'],
    [['onnx/model.onnx', 'v2/model.onnx'], { subfolder: 'v2' }, 'v2/model.onnx', 'fp32'],
    [['onnx/model.onnx', 'v2/b/model.onnx'], { subfolder: '/v2/b/' }, 'v2/b/model.onnx', 'fp32'],
    [['onnx/model.onnx', 'model.onnx'], { subfolder: '' }, 'model.onnx', 'fp32'],
    [['onnx/model.onnx', 'onnx/model_q4.onnx'], {}, 'onnx/model_q4.onnx', 'q4', json({ dtype: 'q4' })],
    [['onnx/model.onnx', 'onnx/model_q4.onnx'], { dtype: 'auto' }, 'onnx/model_q4.onnx', 'q4', json({ dtype: { model: 'q4' } })],
    [['onnx/model.onnx', 'onnx/model_q4.onnx'], { dtype: 'fp32' }, 'onnx/model.onnx', 'fp32', json({ dtype: 'q4' })],
    [['onnx/model.onnx'], {}, 'onnx/model.onnx', 'fp32', json({ dtype: 'q4' })],
    [['onnx/model.onnx'], {}, 'onnx/model.onnx', 'fp32', json({ dtype: 'q1' })],
    [['onnx/model_quantized.onnx'], {}, 'onnx/model_quantized.onnx', 'q8', json(null)],
  ];
  for (const [i, [names, options, file, dtype, config = rest['config.json']]] of cases.entries()) {
    const models = Object.fromEntries(names.map((name) => [name, name === file ? model : new Uint8Array(1)]));
    const chosen = await pipeline('text-classification', { ...rest, ...models, 'config.json': config }, options);
    const info = chosen.info();
    assert.deepEqual([info.file, info.dtype], [file, dtype], `case ${i}`);
    await chosen.dispose();
  }
  const strict = { ...rest, 'onnx/model.onnx': model };
  await assert.rejects(pipeline('text-classification', strict, { dtype: 'q8' }), failure('missing-file', /onnx\/model_quantized\.onnx/));
  await assert.rejects(pipeline('text-classification', strict, { subfolder: '' }), failure('missing-file', /\(model_quantized\.onnx/));
  for (const wrong of [{ dtype: 1 }, { dtype: { model: 'fp8' } }, { subfolder: 1 }, { model_file_name: null }, { literal: 'yes' }, { accuracy: 'slow' }]) {
    await assert.rejects(pipeline('text-classification', strict, wrong), TypeError, JSON.stringify(wrong));
  }
});

test('what a pipeline says of itself', async () => {
  const { file, dtype, literal, memoryBytes, engineBytes, maxLength, ...engine } = classify.info();
  for (const [name, value] of Object.entries(info())) assert.deepEqual(engine[name], value, name);
  assert.ok(engineBytes >= memoryBytes && engineBytes % 65536 === 0, `${engineBytes}`);
  assert.deepEqual([file, dtype, literal, maxLength], ['onnx/model_quantized.onnx', 'q8', false, 512]);
  assert.ok(memoryBytes > 10_000_000, `${memoryBytes}`);
  const { accuracy, integerModes } = classify.info();
  assert.equal(accuracy, 'exact');
  const weights = Object.values(integerModes).reduce((sum, count) => sum + count, 0);
  assert.ok(weights >= 6 * 4 && weights <= 6 * 6 + 2, JSON.stringify(integerModes));
  const fast = await classifier({ accuracy: 'fast' });
  assert.equal(fast.info().accuracy, 'fast');
  assert.equal((await fast(GOOD))[0].label, 'POSITIVE');
  await fast.dispose();
});

test('a folder on a server', async () => {
  const served = new Map([
    ['/m/config.json', modelFile('config.json')],
    ['/m/tokenizer.json', modelFile('tokenizer.json')],
    ['/m/onnx/model.onnx', modelFile('onnx/model_quantized.onnx')],
  ]);
  const asked = [];
  const server = createServer(({ url }, response) => {
    asked.push(url);
    // What is not there gets a start page, as servers of one-page applications do, or a plain 404.
    const content = served.get(url);
    if (content) response.end(content);
    else if (url.includes('int8')) response.setHeader('content-type', 'text/html; charset=utf-8').end('<html>');
    else response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  try {
    const remote = await pipeline('sentiment-analysis', `${base}/m`);
    assert.deepEqual(await remote(GOOD), await classify(GOOD));
    await remote.dispose();
    const models = asked.filter((url) => url.endsWith('.onnx'));
    assert.deepEqual(models.slice(0, 2), ['/m/onnx/model_quantized.onnx', '/m/onnx/model_int8.onnx']);
    assert.equal(models.at(-1), '/m/onnx/model.onnx');
    assert.equal(asked.filter((url) => url === '/m/onnx/model.onnx').length, 1);

    await assert.rejects(pipeline('sentiment-analysis', `${base}/none/`), failure('missing-file', /config\.json/));
  } finally {
    server.closeAllConnections();
    server.close();
  }
  await assert.rejects(pipeline('sentiment-analysis', base), failure('load-failed', /cannot be fetched/));
});

test('missing and damaged files', async () => {
  await assert.rejects(pipeline('sentiment-analysis', './no/such/folder'), failure('missing-file', /config\.json/));
  await assert.rejects(pipeline('sentiment-analysis', MODEL, { dtype: 'q4' }), failure('missing-file', /model_q4\.onnx/));
  const { 'tokenizer.json': tokenizer, ...without } = files();
  await assert.rejects(pipeline('sentiment-analysis', without), failure('missing-file', /tokenizer\.json or vocab\.txt/));

  const model = files()['onnx/model_quantized.onnx'];
  const cut = { ...files(), 'onnx/model_quantized.onnx': model.subarray(0, model.length / 2) };
  await assert.rejects(pipeline('sentiment-analysis', cut), failure('invalid-model'));
  const text = new TextEncoder().encode('not a model, not JSON');
  for (const name of Object.keys(files())) {
    await assert.rejects(pipeline('sentiment-analysis', { ...files(), [name]: text }), failure('invalid-model'), name);
  }
  const bpe = new TextEncoder().encode('{"model":{"type":"BPE","vocab":{},"merges":[]}}');
  const unsupported = { ...files(), 'tokenizer.json': bpe };
  await assert.rejects(pipeline('sentiment-analysis', unsupported), failure('unsupported-model', /BPE/));

  // None of this harmed what was loaded before.
  assert.equal((await classify(GOOD))[0].label, 'POSITIVE');
});

test('use after dispose', async () => {
  const gone = await classifier();
  await gone.dispose();
  await gone.dispose();
  await assert.rejects(gone(GOOD), failure('disposed', /pipeline was disposed/));
  await assert.rejects(gone.logits(GOOD), failure('disposed'));
  await assert.rejects(gone.tokenize(GOOD), failure('disposed'));
  assert.throws(() => gone.info(), failure('disposed'));
});

test('one engine per process', async () => {
  const { variant: running, reason } = info();
  assert.ok(reason.length > 0);
  const other = running === 'relaxed' ? 'simd128' : 'relaxed';
  await assert.rejects(load({ variant: other }), failure('load-failed', /runs already/));
  assert.deepEqual(await load({ variant }), info());
});

test('errors are errors', () => {
  const error = new FourlaneError('bad-input', 'a sentence');
  assert.ok(error instanceof Error);
  assert.equal(String(error), 'FourlaneError: a sentence');
});
