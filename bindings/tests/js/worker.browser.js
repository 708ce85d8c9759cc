// Pages that run models in a worker, in headless Chromium under a strict policy: what they feel of it, and what they hear
// of files on the network. By way of `cargo xtask test browser`.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launch } from './chromium.js';

const ROOT = new URL('../../', import.meta.url);
const MODELS = new URL('../../../onnx-loader/tests/models/', import.meta.url);
const POLICY = "default-src 'self' *; script-src 'self' 'wasm-unsafe-eval'";
const TYPES = { js: 'text/javascript', wasm: 'application/wasm', json: 'application/json' };
const MODEL = 'model/onnx/model_quantized.onnx';
const GOOD = 'A warm, funny, wonderful film.';

let browser;
let origin;
let elsewhere; // the same server under another origin
let special = {}; // answers for some paths
let asked = [];

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  asked.push(pathname);
  if (special[pathname]) return special[pathname](request, response);
  if (pathname === '/') {
    const policy = searchParams.get('policy') ?? POLICY;
    response.writeHead(200, { 'content-type': 'text/html', 'content-security-policy': policy });
    return response.end('<!doctype html><meta charset="utf-8"><title>fourlane</title><input type="file">');
  }
  const file = /^\/(pkg|model|tests\/js)\//.test(pathname) ? new URL(`.${pathname}`, ROOT) : new URL(`.${pathname.replace('/exported', '')}`, MODELS);
  try {
    const content = readFileSync(file);
    const type = TYPES[pathname.split('.').pop()] ?? 'application/octet-stream';
    response.writeHead(200, { 'content-type': type, 'content-length': content.length }).end(content);
  } catch {
    response.writeHead(404).end();
  }
});

before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  elsewhere = `http://localhost:${server.address().port}`;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server.closeAllConnections();
  server.close();
});

/** A page with the package as `fourlane`; errors that nobody catches fail the test. */
async function open(policy) {
  [special, asked] = [{}, []];
  const page = await browser.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(policy ? `${origin}/?policy=${encodeURIComponent(policy)}` : origin);
  await page.evaluate(async () => {
    globalThis.fourlane = await import('/pkg/index.js');
    // What came of it: the best label, or the error.
    globalThis.attempt = async (source, options) => {
      try {
        const classify = await fourlane.pipeline('sentiment-analysis', source, options);
        const [{ label }] = await classify('A warm, funny, wonderful film.');
        await classify.dispose();
        return label;
      } catch (error) {
        const kind = error instanceof fourlane.FourlaneError ? error.code : error.name;
        return `${kind}: ${error.message}`;
      }
    };
  });
  const close = async () => {
    assert.deepEqual(problems, []);
    await page.close();
  };
  return { page, close };
}

const workers = (page) => page.workers().map((worker) => new URL(worker.url()).pathname);

/** Waits until a page has no worker. */
async function withoutWorkers(page) {
  for (let i = 0; i < 100 && workers(page).length > 0; i += 1) await page.waitForTimeout(50);
  assert.deepEqual(workers(page), []);
}

test('one worker for all pipelines, as long as there are any', async () => {
  const { page, close } = await open();
  await page.evaluate(async () => {
    globalThis.pipelines = await Promise.all([1, 2, 3].map(() => fourlane.pipeline('sentiment-analysis', '/model')));
  });
  assert.deepEqual(workers(page), ['/pkg/worker.js']);
  assert.equal(asked.filter((path) => path.endsWith('.wasm')).length, 1);
  const [info, results] = await page.evaluate(async () => {
    const texts = ['A warm, funny, wonderful film.', 'A waste of time.'];
    const results = await Promise.all(pipelines.map((classify) => classify(texts)));
    return [pipelines[0].info(), results.map((result) => result.map(({ label }) => label))];
  });
  assert.equal(info.worker, true);
  assert.deepEqual(results, Array(3).fill(['POSITIVE', 'NEGATIVE']));
  await page.evaluate(() => Promise.all(pipelines.slice(1).map((classify) => classify.dispose())));
  assert.deepEqual(workers(page), ['/pkg/worker.js']);
  assert.equal(await page.evaluate(async () => (await pipelines[0]('Good fun.'))[0].label), 'POSITIVE');
  await page.evaluate(() => pipelines[0].dispose());
  await withoutWorkers(page);
  // Loading that fails, or is broken off, leaves none either.
  const outcome = await page.evaluate(() => attempt('/none'));
  assert.match(outcome, /^missing-file: .*has no config\.json$/);
  const broken = await page.evaluate(() => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('gone')), 1);
    return attempt('/model', { signal: controller.signal });
  });
  assert.equal(broken, 'Error: gone');
  await withoutWorkers(page);
  assert.equal(await page.evaluate(() => attempt('/model')), 'POSITIVE');
  // An engine that was loaded ahead waits for its first pipeline.
  const { variant } = await page.evaluate(() => fourlane.load());
  assert.ok(variant);
  assert.deepEqual(workers(page), ['/pkg/worker.js']);
  assert.equal(await page.evaluate(() => attempt('/model')), 'POSITIVE');
  await withoutWorkers(page);
  await close();
});

test('a page misses no frame while a model loads and runs', async () => {
  const { page, close } = await open();
  // Frames missed while a model works, and in as many milliseconds of nothing.
  const missed = (worker) =>
    page.evaluate(async (worker) => {
      const count = async (work) => {
        let [last, missed, isOver] = [undefined, 0, false];
        const frame = (time) => {
          if (last !== undefined) missed += Math.max(0, Math.round(((time - last) * 60) / 1000) - 1);
          last = time;
          if (!isOver) requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
        await new Promise(requestAnimationFrame);
        await work();
        await new Promise(requestAnimationFrame); // what has kept the page until now counts
        await new Promise(requestAnimationFrame);
        isOver = true;
        return missed;
      };
      let isWorker;
      const begin = performance.now();
      const busy = await count(async () => {
        const classify = await fourlane.pipeline('sentiment-analysis', '/model', { worker });
        for (let i = 0; i < 100; i += 1) await classify(`A warm, funny, wonderful film, and number ${i} of its kind.`);
        isWorker = classify.info().worker;
        await classify.dispose();
      });
      const milliseconds = performance.now() - begin;
      const idle = await count(() => new Promise((resolve) => setTimeout(resolve, milliseconds)));
      return { isWorker, busy, idle };
    }, worker);
  // Others may have this machine's time, too: the best of some attempts counts, less what a page misses that does nothing.
  const attempts = [];
  const isGood = ({ busy, idle }) => busy - idle <= 2;
  const end = performance.now() + 75_000;
  do attempts.push(await missed());
  while (!attempts.some(isGood) && performance.now() < end);
  assert.ok(attempts.every(({ isWorker }) => isWorker));
  assert.ok(attempts.some(isGood), JSON.stringify(attempts));
  const here = await missed(false);
  assert.ok(!here.isWorker && !isGood(here), `on the page's own thread: ${JSON.stringify(here)}, so the test would notice`);
  await close();
});

test('a running call is broken off at once, and the queue goes on', async () => {
  const { page, close } = await open();
  const outcome = await page.evaluate(async () => {
    const classify = await fourlane.pipeline('sentiment-analysis', '/model');
    const many = Array.from({ length: 2000 }, (_, i) => `film number ${i}, `.repeat(20));
    const controller = new AbortController();
    const events = [];
    const onProgress = ({ loaded }) => events.push(loaded);
    const running = classify(many, { signal: controller.signal, onProgress });
    const short = classify('A waste of time.');
    const [{ label }] = await short; // not after all of the others
    const done = events.at(-1) ?? 0;
    controller.abort(new Error('gone'));
    const begin = performance.now();
    const message = await running.catch((error) => error.message);
    const milliseconds = performance.now() - begin;
    const [{ label: after }] = await classify('A warm, funny, wonderful film.');
    await classify.dispose();
    return { label, done, message, isQuick: milliseconds < 50, after, last: events.at(-1) };
  });
  const { done, last, ...rest } = outcome;
  assert.deepEqual(rest, { label: 'NEGATIVE', message: 'gone', isQuick: true, after: 'POSITIVE' });
  assert.ok(done < 200 && last === done, JSON.stringify(outcome));
  await close();
});

test('files of every kind', async () => {
  const { page, close } = await open();
  await page.setInputFiles('input', new URL(MODEL, ROOT).pathname);
  const outcomes = await page.evaluate(async () => {
    const names = ['config.json', 'tokenizer.json', 'onnx/model_quantized.onnx'];
    const get = (name) => fetch(`/model/${name}`);
    const [config, tokenizer, model] = await Promise.all(names.map(async (name) => (await get(name)).arrayBuffer()));
    const kinds = {
      buffer: () => model.slice(),
      view: () => new Uint8Array(model.slice()),
      blob: () => new Blob([model]),
      file: () => document.querySelector('input').files[0],
      response: () => get(names[2]),
      stream: async () => (await get(names[2])).body,
      url: () => new URL(`/model/${names[2]}`, location.href),
    };
    const outcomes = {};
    for (const [kind, make] of Object.entries(kinds)) {
      for (const worker of [undefined, false]) {
        const value = await make();
        const source = { 'config.json': config.slice(), 'tokenizer.json': tokenizer.slice(), [names[2]]: value };
        const options = { worker, transfer: kind === 'buffer' };
        outcomes[`${kind} ${worker ?? ''}`] = `${await attempt(source, options)} ${value.byteLength ?? ''}`.trim();
      }
    }
    outcomes.string = await attempt({ 'config.json': '{}' });
    outcomes.object = await attempt({ 'config.json': { a: 1 } });
    return outcomes;
  });
  const { buffer, string, object, ...others } = outcomes;
  const { size } = { size: readFileSync(new URL(MODEL, ROOT)).length };
  assert.equal(outcomes['buffer '], 'POSITIVE 0', 'it has moved');
  assert.equal(outcomes['buffer false'], `POSITIVE ${size}`);
  assert.equal(outcomes['view '], `POSITIVE ${size}`);
  for (const [kind, outcome] of Object.entries(others)) assert.match(outcome, /^POSITIVE/, kind);
  assert.match(string, /^TypeError: 'config\.json' must be bytes, .*, got a string$/);
  assert.match(object, /^TypeError: 'config\.json' must be bytes, .*, got an object \(Object\)$/);
  await close();
});

test('what goes wrong on the network is one clear error', async () => {
  const { page, close } = await open();
  const content = readFileSync(new URL(MODEL, ROOT));
  const headers = { 'content-type': 'application/octet-stream' };
  const answer = (status, fields, body) => (_, response) => response.writeHead(status, { ...headers, ...fields }).end(body);
  const at = async (handler, source = '/model', options) => {
    special = handler ? { [`/${MODEL}`]: handler } : {};
    return page.evaluate(([source, options]) => attempt(source, options), [source, options]);
  };
  assert.match(await at(answer(404)), /^missing-file: .*\/model\/ has no model file \(onnx\/model_quantized\.onnx, /);
  const html = '<!doctype html><title>Log in</title>';
  assert.match(await at(answer(200, { 'content-type': 'text/html' }, html)), /^missing-file: .* has no model file/);
  assert.match(await at(answer(200, {}, html)), /^missing-file: .* has no model file/);
  assert.match(await at(answer(200, {}, '')), /^invalid-model: /);
  assert.match(await at(answer(204)), /^missing-file: .* has no model file/);
  assert.match(await at(answer(500)), /^load-failed: .*model_quantized\.onnx answers with status 500$/);
  // Fewer bytes than were promised, and more.
  const less = (_, response) => {
    response.writeHead(200, { ...headers, 'content-length': content.length });
    response.write(content.subarray(0, 1000), () => response.destroy());
  };
  assert.match(await at(less), /^load-failed: .*model_quantized\.onnx broke off after \d+ of 14580896 bytes: /);
  const more = (_, response) => {
    response.writeHead(200, { ...headers, 'content-length': 100_000 });
    response.write(content.subarray(0, 100_000), () => response.destroy());
  };
  assert.match(await at(more), /^invalid-model: /);
  // A connection that breaks, of a server that can go on.
  let breaks = 2;
  const resumed = (request, response) => {
    const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
    response.writeHead(start ? 206 : 200, { ...headers, etag: '"1"', 'content-length': content.length - start });
    if ((breaks -= 1) < 0) return response.end(content.subarray(start));
    response.write(content.subarray(start, start + 3_000_000), () => setTimeout(() => response.destroy(), 50));
  };
  assert.equal(await at(resumed), 'POSITIVE');
  assert.equal(breaks, -1);
  // Another origin, that does not allow it and that does.
  assert.match(
    await at(undefined, `${elsewhere}/model`),
    /^load-failed: .* cannot be fetched: .*; the server must be reachable and allow requests from http:\/\/127\.0\.0\.1:\d+ \(CORS\)$/,
  );
  special = Object.fromEntries(
    ['config.json', 'tokenizer.json', 'onnx/model_quantized.onnx'].map((name) => {
      const file = readFileSync(new URL(`model/${name}`, ROOT));
      return [`/model/${name}`, answer(200, { 'access-control-allow-origin': '*' }, file)];
    }),
  );
  special['/model/tokenizer_config.json'] = answer(404, { 'access-control-allow-origin': '*' });
  const allowed = await page.evaluate((source) => attempt(source, { integrity: {} }), `${elsewhere}/model`);
  assert.equal(allowed, 'POSITIVE');
  // A digest that is not the file's.
  const wrong = await at(undefined, '/model', { integrity: { 'config.json': `sha256-${'A'.repeat(43)}=` } });
  assert.match(wrong, /^load-failed: 'config\.json' is not the file that options\.integrity means: it is sha256-/);
  // No network at all, once the engine is there.
  await page.evaluate(() => fourlane.load());
  await page.context().setOffline(true);
  const offline = await at();
  await page.context().setOffline(false);
  assert.match(offline, /^load-failed: .* cannot be fetched: .*; this device is offline$/);
  await close();
});

test('progress and cache, through the worker', async () => {
  const { page, close } = await open();
  const load = () =>
    page.evaluate(async () => {
      const events = [];
      const classify = await fourlane.pipeline('sentiment-analysis', '/model', { cache: true, onProgress: (event) => events.push(event) });
      await classify.dispose();
      return events;
    });
  const events = await load();
  const name = `${origin}/model/`;
  const of = (status, file = 'onnx/model_quantized.onnx') => events.filter((event) => event.status === status && event.file === file);
  assert.deepEqual(of('initiate'), [{ status: 'initiate', name, file: 'onnx/model_quantized.onnx' }]);
  assert.deepEqual(of('download').length, 1);
  assert.ok(of('progress').length > 5);
  assert.deepEqual(of('progress').at(-1), { status: 'progress', name, file: 'onnx/model_quantized.onnx', progress: 100, loaded: 14580896, total: 14580896 });
  assert.deepEqual(of('done'), [{ status: 'done', name, file: 'onnx/model_quantized.onnx' }]);
  assert.deepEqual(events.at(-1), { status: 'ready', task: 'sentiment-analysis', model: name });
  const total = events.findLast(({ status }) => status === 'progress_total');
  assert.equal(total.progress, 100);
  assert.deepEqual(Object.keys(total.files).sort(), ['config.json', 'onnx/model_quantized.onnx', 'tokenizer.json', 'tokenizer_config.json']);
  asked = [];
  assert.deepEqual((await load()).at(-1), events.at(-1));
  assert.deepEqual(asked.filter((path) => path.startsWith('/model/')), []);
  const stopped = await page.evaluate(() => attempt('/model', { onProgress: () => { throw new Error('stop'); } }));
  assert.equal(stopped, 'Error: stop');
  await close();
});

test('a policy without workers: the page runs it itself, and says so', async () => {
  const { page, close } = await open(`${POLICY}; worker-src 'none'`);
  const { worker, workerReason, label } = await page.evaluate(async () => {
    const classify = await fourlane.pipeline('sentiment-analysis', '/model');
    return { ...classify.info(), ...(await classify('A warm, funny, wonderful film.'))[0] };
  });
  assert.deepEqual([worker, label], [false, 'POSITIVE']);
  assert.match(workerReason, /the worker cannot be started/);
  assert.match(await page.evaluate(() => attempt('/model', { worker: true })), /^load-failed: the worker cannot be started/);
  await close();
});

test('in a worker of the page, and in a service worker, where there are no others', async () => {
  const { page, close } = await open();
  const script = (path) => `
    import { pipeline } from '/pkg/${path}';
    const answer = async (port) => {
      const classify = await pipeline('sentiment-analysis', '/model');
      const { worker, workerReason } = classify.info();
      port.postMessage([worker, workerReason, (await classify('${GOOD}'))[0].label]);
    };
    onmessage = ({ ports }) => answer(ports[0]);
  `;
  const js = (path) => (_, response) => response.writeHead(200, { 'content-type': TYPES.js }).end(script(path));
  special = { '/own.js': js('index.js'), '/service.js': js('inplace.js') };
  const outcomes = await page.evaluate(async () => {
    const ask = (target) =>
      new Promise((resolve) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }) => resolve(data);
        target.postMessage(null, [port2]);
      });
    const own = await ask(new Worker('/own.js', { type: 'module' }));
    const registration = await navigator.serviceWorker.register('/service.js', { type: 'module' });
    await navigator.serviceWorker.ready;
    return [own, await ask(registration.active)];
  });
  for (const outcome of outcomes) assert.deepEqual(outcome, [false, 'this is a worker already', 'POSITIVE']);
  await close();
});

test('a worker that crashes, and what comes after', async () => {
  const { page, close } = await open();
  await page.evaluate(async () => {
    globalThis.classify = await fourlane.pipeline('sentiment-analysis', '/model');
    globalThis.running = classify(Array(500).fill('film '.repeat(100))).catch(({ code, message }) => [code, message]);
  });
  await page.workers()[0].evaluate(() => {
    setTimeout(() => {
      throw new Error('no more memory');
    });
  });
  const [code, message, later, after] = await page.evaluate(async () => [
    ...(await running),
    await classify('text').catch((error) => error.code),
    await attempt('/model'),
  ]);
  assert.deepEqual([code, later, after], ['crashed', 'crashed', 'POSITIVE']);
  assert.match(message, /^the worker crashed, and what it held is lost; make new pipelines \(.*no more memory\)$/);
  await page.evaluate(() => classify.dispose());
  await withoutWorkers(page);
  await close();
});

test('memory is flat', async () => {
  const { page, close } = await open();
  const kept = await page.evaluate(async () => {
    const { soak } = await import('/tests/js/soak.js');
    const bytes = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());
    const text = (text) => new TextEncoder().encode(text);
    const files = {
      'config.json': text('{"max_position_embeddings": 64}'),
      'vocab.txt': text(['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a', 'b', 'c', 'ab', 'ba', 'abc'].join('\n')),
      'onnx/model_quantized.onnx': await bytes('/exported/distilbert-e2024-tjs-int8.onnx'),
    };
    return soak(fourlane, files, {}, { cycles: 300, texts: 3000 });
  });
  assert.ok(kept.loaded.engine > 0);
  await close();
});
