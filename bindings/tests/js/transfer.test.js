// Files on their way: what a page hears of it, what it can break off, and what goes wrong on the network.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { info, pipeline } from 'fourlane';
import { InferenceSession } from 'fourlane/ort';
import { MODEL, exported, failure, modelFile } from './support.js';

const PATH = 'onnx/model_quantized.onnx';
const FILES = Object.fromEntries(['config.json', 'tokenizer.json', PATH].map((name) => [name, modelFile(name)]));
const model = FILES[PATH];

/** Answers for some paths; all others get what is in FILES, or 404. */
let special = {};
let asked = [];
const server = createServer((request, response) => {
  const path = request.url.slice(1);
  asked.push([path, request.headers.range]);
  if (special[path]) special[path](request, response);
  else if (FILES[path]) response.writeHead(200, { 'content-length': FILES[path].length }).end(FILES[path]);
  else response.writeHead(404).end();
});
let base;
before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}/`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

/** Loads and says what came of it: `ok`, or throws. */
async function attempt(answers = {}, options = {}) {
  [special, asked] = [answers, []];
  const classify = await pipeline('sentiment-analysis', base, options);
  const [{ label }] = await classify('A warm, funny, wonderful film.');
  await classify.dispose();
  return label;
}

test('progress, as transformers.js tells it', async () => {
  const events = [];
  assert.equal(await attempt({}, { onProgress: (event) => events.push(event) }), 'POSITIVE');
  const of = (file) => events.filter((event) => event.file === file);
  for (const [file, { length }] of Object.entries(FILES)) {
    const statuses = of(file).map(({ status }) => status);
    assert.deepEqual(statuses.slice(0, 3), ['initiate', 'download', 'progress'], file);
    assert.deepEqual(statuses.slice(-2), ['progress', 'done'], file);
    const progress = of(file).filter(({ status }) => status === 'progress');
    assert.ok(progress.every(({ total, name }) => total === length && name === base));
    assert.ok(progress.every(({ loaded }, i) => i === 0 || loaded >= progress[i - 1].loaded));
    assert.deepEqual([progress.at(-1).loaded, progress.at(-1).progress], [length, 100]);
  }
  assert.ok(of(PATH).length > 20, 'the model comes in many parts');
  const last = events.findLast(({ status }) => status === 'progress_total');
  const total = Object.values(FILES).reduce((sum, file) => sum + file.length, 0);
  assert.deepEqual([last.loaded, last.total, last.progress], [total, total, 100]);
  assert.deepEqual(last.files[PATH], { loaded: model.length, total: model.length });
  assert.deepEqual(events.at(-1), { status: 'ready', task: 'sentiment-analysis', model: base });
  assert.equal(of('tokenizer_config.json').length, 0, 'what is not there');

  const files = [];
  const other = await pipeline('sentiment-analysis', MODEL, { progress_callback: (event) => files.push(event.file) });
  assert.ok(files.includes(PATH));
  await other.dispose();
  const stop = new Error('stop');
  const onProgress = () => {
    throw stop;
  };
  await assert.rejects(attempt({}, { onProgress }), stop);
  await assert.rejects(attempt({}, { onProgress: true }), TypeError);
});

test('breaking off', async () => {
  const reason = new Error('the reader went on');
  await assert.rejects(attempt({}, { signal: AbortSignal.abort(reason) }), reason);
  assert.deepEqual(asked, []);
  for (const source of [base, MODEL]) {
    const controller = new AbortController();
    [special, asked] = [{}, []];
    const onProgress = ({ file }) => file === PATH && controller.abort(reason);
    const loading = pipeline('sentiment-analysis', source, { signal: controller.signal, onProgress });
    await assert.rejects(loading, reason);
  }
  const slow = { [PATH]: (_, response) => response.writeHead(200).write(model.subarray(0, 100)) };
  await assert.rejects(attempt(slow, { signal: AbortSignal.timeout(200) }), { name: 'TimeoutError' });
  await assert.rejects(attempt({}, { signal: true }), TypeError);
  assert.equal(await attempt(), 'POSITIVE');
});

/** Sends the file from where it is asked for, and breaks off after so many bytes. */
function breaking(bytes, headers = { etag: '"1"' }) {
  return (request, response) => {
    const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
    const end = Math.min(start + bytes, model.length);
    response.writeHead(start ? 206 : 200, { 'content-length': model.length - start, ...headers });
    response.write(model.subarray(start, end), () => (end < model.length ? response.destroy() : response.end()));
  };
}

test('a connection that breaks is taken up again', async () => {
  assert.equal(await attempt({ [PATH]: breaking(5_000_000) }), 'POSITIVE');
  const ranges = asked.filter(([path]) => path === PATH).map(([, range]) => range);
  assert.equal(ranges[0], undefined);
  assert.ok(ranges.length === 3 && ranges.slice(1).every((range) => /^bytes=\d+-$/.test(range)), `${ranges}`);

  // A server that cannot do ranges sends all of it again.
  let count = 0;
  const whole = (_, response) => {
    const end = (count += 1) < 3 ? 1_000_000 : model.length;
    response.writeHead(200, { 'content-length': model.length, etag: '"1"' });
    response.write(model.subarray(0, end), () => (end < model.length ? response.destroy() : response.end()));
  };
  assert.equal(await attempt({ [PATH]: whole }), 'POSITIVE');

  // Nor does it matter that for a moment there is no server at all.
  let refused = 2;
  const moment = (request, response) => {
    if (request.headers.range && (refused -= 1) >= 0) response.destroy();
    else breaking(8_000_000)(request, response);
  };
  assert.equal(await attempt({ [PATH]: moment }), 'POSITIVE');

  const broke = failure('load-failed', /model_quantized\.onnx broke off after \d+ of 14580896 bytes/);
  await assert.rejects(attempt({ [PATH]: breaking(1_000_000) }), broke);
  assert.equal(asked.filter(([path]) => path === PATH).length, 4);
  await assert.rejects(attempt({ [PATH]: breaking(5_000_000, {}) }), broke, 'no telling whether it is the same file');
  let version = 0;
  const changing = (...both) => breaking(5_000_000, { etag: `"${(version += 1)}"` })(...both);
  await assert.rejects(attempt({ [PATH]: changing }), failure('load-failed', /changed while it was fetched/));
});

test('answers of every kind', async () => {
  const html = (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>');
  await assert.rejects(attempt({ [PATH]: html }), failure('missing-file', /has no model file \(onnx\/model_quantized\.onnx, /));
  await assert.rejects(attempt({ 'config.json': html }), failure('missing-file', /has no config\.json$/));
  const page = (_, response) => response.writeHead(200).end('<!doctype html><title>Log in</title>');
  await assert.rejects(attempt({ [PATH]: page }), failure('missing-file', /has no model file/));
  const none = (_, response) => response.writeHead(204).end();
  await assert.rejects(attempt({ [PATH]: none }), failure('missing-file', /has no model file/));
  const down = (_, response) => response.writeHead(503).end();
  await assert.rejects(attempt({ [PATH]: down }), failure('load-failed', /model_quantized\.onnx answers with status 503/));
  const empty = (_, response) => response.writeHead(200).end();
  await assert.rejects(attempt({ [PATH]: empty }), failure('invalid-model', /not an ONNX file/));
  // Without a length, as of something compressed on the way.
  const chunked = (_, response) => response.writeHead(200).end(model);
  assert.equal(await attempt({ [PATH]: chunked }), 'POSITIVE');
  special = { [PATH]: html };
  await assert.rejects(InferenceSession.create(base + PATH), failure('missing-file', /no file at http/));
  await assert.rejects(pipeline('sentiment-analysis', 'http://127.0.0.1:9/'), failure('load-failed', /cannot be fetched/));
});

test('a model is read while it comes', async () => {
  // How large the engine's memory is tells what it has taken: without a length it takes nothing ahead.
  const other = exported()[PATH];
  const probe = await InferenceSession.create(other);
  const size = () => probe.info().engineBytes;
  const before = size();
  let finish;
  const slow = (_, response) => {
    response.writeHead(200).write(model.subarray(0, -100));
    finish = () => response.end(model.subarray(-100));
  };
  [special, asked] = [{ [PATH]: slow }, []];
  const loading = InferenceSession.create(base + PATH);
  for (let i = 0; i < 1000 && size() < before + 0.9 * model.length; i += 1) await setTimeout(10);
  const taken = size() - before;
  assert.ok(taken >= 0.9 * model.length, `${taken} of ${model.length} bytes are with the engine before the last ones come`);
  finish();
  const session = await loading;
  assert.deepEqual(session.outputNames, ['logits']);
  // What is packed takes the place of what has come.
  assert.ok(size() - before < 1.3 * model.length, `${size() - before} bytes in the end`);
  await session.release();

  // What is no model is not fetched to its end.
  let isClosed = false;
  const wrong = (request, response) => {
    response.on('close', () => (isClosed = true)).writeHead(200, { 'content-length': 1e9 }).write(Buffer.alloc(1e5, 7));
  };
  special = { [PATH]: wrong };
  await assert.rejects(InferenceSession.create(base + PATH), failure('invalid-model', /not an ONNX file/));
  for (let i = 0; i < 100 && !isClosed; i += 1) await setTimeout(10);
  assert.ok(isClosed, 'the connection is given up');
  await probe.release();
});

test('a file is read in parts, too', async () => {
  const session = await InferenceSession.create(new URL(PATH, MODEL));
  assert.deepEqual(session.outputNames, ['logits']);
  await session.release();
  const missing = InferenceSession.create(new URL('onnx/none.onnx', MODEL));
  await assert.rejects(missing, failure('missing-file', /no file at file:.*none\.onnx/));
  await assert.rejects(InferenceSession.create(new URL('onnx/', MODEL)), failure('load-failed', /onnx\/ cannot be read/));
  const page = new URL('README.md', MODEL);
  await assert.rejects(InferenceSession.create(page), failure('invalid-model', /not an ONNX file/));
});

test('integrity', async () => {
  const digest = (bytes, bits) => `sha${bits}-${createHash(`sha${bits}`).update(bytes).digest('base64')}`;
  const integrity = { [PATH]: digest(model, 256), 'config.json': digest(FILES['config.json'], 512) };
  assert.equal(await attempt({}, { integrity }), 'POSITIVE');
  const local = await pipeline('sentiment-analysis', FILES, { integrity });
  await local.dispose();
  const other = Uint8Array.from(model);
  other[1000] ^= 1;
  const message = /'onnx\/model_quantized\.onnx' is not the file that options\.integrity means: it is sha256-/;
  const wrong = pipeline('sentiment-analysis', { ...FILES, [PATH]: other }, { integrity });
  await assert.rejects(wrong, failure('load-failed', message));
  await assert.rejects(attempt({}, { integrity: { [PATH]: 'md5-abc' } }), TypeError);
  await assert.rejects(attempt({}, { integrity: integrity[PATH] }), /integrity must be an object/);
  await assert.rejects(attempt({}, { cache: 7 }), TypeError);
  await assert.rejects(attempt({}, { integrity: { 'model.onnx': integrity[PATH] } }), /names 'model\.onnx', which this model/);
});

test('streams', async () => {
  const stream = new Blob([model]).stream();
  const classify = await pipeline('sentiment-analysis', { ...FILES, [PATH]: stream });
  assert.equal((await classify('A warm, funny, wonderful film.'))[0].label, 'POSITIVE');
  await classify.dispose();
  assert.ok(info().variant);
});
