// Threads in headless Chromium: with and without cross-origin isolation, in a worker and on the page, under a strict
// policy. By way of `cargo xtask test browser`.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launch } from './chromium.js';
import { trapping } from './trap.js';

const ROOT = new URL('../../', import.meta.url);
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";
const TYPES = { js: 'text/javascript', wasm: 'application/wasm', json: 'application/json' };
const ISOLATION = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
};
const TEXTS = ['A gem.', '', 'a rather long sentence about a film '.repeat(16)];

let browser;
let origin;
let asked = [];
let missing = []; // paths that are not there
let special = {}; // what others have instead
let isolated = true;

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  asked.push(pathname);
  const headers = { 'content-security-policy': POLICY, ...(isolated ? ISOLATION : {}) };
  if (pathname === '/') {
    response.writeHead(200, { ...headers, 'content-type': 'text/html' });
    return response.end('<!doctype html><meta charset="utf-8"><title>fourlane</title>');
  }
  try {
    if (missing.includes(pathname) || !pathname.startsWith('/pkg/')) throw new Error('not there');
    const content = special[pathname] ?? readFileSync(new URL(`.${pathname}`, ROOT));
    response.writeHead(200, { ...headers, 'content-type': TYPES[pathname.split('.').pop()] ?? 'application/octet-stream' });
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
});

before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server.closeAllConnections();
  server.close();
});

/** Classifies with these options on a page of its own: the logits' bits, the facts, the workers, the engines fetched. */
async function run(options) {
  asked = [];
  const page = await browser.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(origin);
  const result = await page.evaluate(
    async ([texts, options]) => {
      const { pipeline } = await import('/pkg/index.js');
      globalThis.classify = await pipeline('sentiment-analysis', null, options);
      const rows = await classify.logits(texts);
      return { info: classify.info(), bits: rows.map((row) => [...new Uint32Array(row.slice().buffer)]) };
    },
    [TEXTS, options],
  );
  const workers = page.workers().length;
  await page.evaluate(() => classify.dispose());
  for (let i = 0; i < 50 && page.workers().length > 0; i += 1) await page.waitForTimeout(100);
  const left = page.workers().length;
  await page.close();
  assert.deepEqual(problems, []);
  return { ...result, workers, left, engines: asked.filter((path) => path.endsWith('.wasm')) };
}

test('the bits of one thread, on any number, and workers that end with the last pipeline', async () => {
  for (const variant of ['simd128', 'relaxed']) {
    const one = await run({ variant, threads: 1 });
    assert.deepEqual([one.info.threads, one.workers, one.left], [1, 1, 0]);
    assert.deepEqual(one.engines, [`/pkg/fourlane-${variant}.wasm`]);
    for (const threads of [2, 4]) {
      const several = await run({ variant, threads });
      assert.match(several.info.reason, new RegExp(`; ${threads} threads \\(options\\.threads says so\\)$`));
      assert.deepEqual([several.info.threads, several.info.worker], [threads, true]);
      assert.deepEqual(several.engines, [`/pkg/fourlane-${variant}-threads.wasm`]);
      assert.deepEqual(several.bits, one.bits);
      assert.deepEqual([several.workers, several.left], [threads, 0]);
    }
  }
});

test('as many as cores where a page is isolated', async () => {
  const { info, engines } = await run({});
  assert.equal(info.variant, 'relaxed');
  assert.match(info.reason, /^this engine has relaxed SIMD; (one thread|\d threads) \(cores: \d+/);
  assert.ok(info.threads >= 1 && info.threads <= 4);
  assert.deepEqual(engines, [`/pkg/fourlane-relaxed${info.threads > 1 ? '-threads' : ''}.wasm`]);
});

test('on the main thread there is one, and the reason', async () => {
  const { info, workers } = await run({ worker: false, threads: 4 });
  assert.deepEqual([info.threads, info.worker, workers], [1, false, 0]);
  assert.match(info.reason, /; one thread \(a page's main thread is not allowed to wait .*\)$/);
});

test('without isolation there is one, and the reason', async (t) => {
  isolated = false;
  t.after(() => (isolated = true));
  for (const options of [{}, { threads: 4 }]) {
    const { info, engines } = await run(options);
    assert.equal(info.threads, 1);
    assert.match(info.reason, /; one thread \(this page is not cross-origin isolated, .*COOP and COEP.*\)$/);
    assert.deepEqual(engines, ['/pkg/fourlane-relaxed.wasm']);
  }
});

test('threads whose file is not there leave one, and the reason', async (t) => {
  missing = ['/pkg/thread.js'];
  t.after(() => (missing = []));
  const { info, engines } = await run({ threads: 2 });
  assert.equal(info.threads, 1);
  assert.match(info.reason, /; one thread \(2 could not be started: a worker could not be started\)$/);
  assert.deepEqual(engines, ['/pkg/fourlane-relaxed-threads.wasm', '/pkg/fourlane-relaxed.wasm']);
});

test('a crash of one thread is one of the engine, which nobody waits for', async (t) => {
  t.after(() => (special = {}));
  const file = (name) => readFileSync(new URL(`pkg/${name}`, ROOT));
  const prelude = `
    const { instantiate, compileStreaming } = WebAssembly;
    WebAssembly.instantiate = async (_, imports) => instantiate(await compileStreaming(fetch('/pkg/trap.wasm')), imports);
  `;
  special = {
    '/pkg/trap.wasm': trapping(file('fourlane-relaxed-threads.wasm')),
    '/pkg/thread.js': prelude + file('thread.js'),
  };
  const page = await browser.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(origin);
  const errors = await page.evaluate(async (text) => {
    globalThis.fourlane = await import('/pkg/index.js');
    const errors = [];
    // Now and then others are faster than a thread, and do all of the work.
    for (let i = 0; i < 200 && errors.length === 0; i += 1) {
      await fourlane.pipeline('sentiment-analysis', null, { threads: 2 })
        .then((classify) => classify(text))
        .catch((error) => errors.push(error));
    }
    return errors.map(({ code, message }) => [code, message]);
  }, TEXTS[2]);
  assert.equal(errors[0]?.[0], 'crashed');
  assert.match(errors[0][1], /^the engine crashed/);
  special = {};
  const next = await page.evaluate(async () => {
    const classify = await fourlane.pipeline('sentiment-analysis');
    return [(await classify('A gem.'))[0].label, classify.info().threads];
  });
  assert.deepEqual(next, ['POSITIVE', 2]);
  await page.close();
  assert.deepEqual(problems, []);
});
