// The package on a page, the demo's, in headless Chromium. By way of `cargo xtask test browser`, which serves the page and
// says where it and the browser are.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './chromium.js';

const { DEMO_URL } = process.env;
let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

/** Opens the page and waits for the model; anything on the console that is wrong fails the test. */
async function open() {
  const page = await browser.newPage();
  const problems = [];
  const fetched = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && problems.push(message.text()));
  page.on('request', (request) => fetched.push(new URL(request.url())));
  await page.goto(DEMO_URL);
  await page.waitForSelector('#result[aria-busy=false]');
  return { page, problems, fetched };
}

test('a model that is kept is not fetched again, and a wrong one is', async () => {
  const { page, fetched, problems } = await open();
  const load = (integrity) =>
    page.evaluate(async (integrity) => {
      const { pipeline } = await import('/pkg/index.js');
      const statuses = new Set();
      const onProgress = ({ status }) => statuses.add(status);
      const classify = await pipeline('sentiment-analysis', '/pkg/model', { cache: 'test', integrity, onProgress });
      return [(await classify('A warm, funny, wonderful film.'))[0].label, [...statuses].sort()];
    }, integrity);
  const models = () => fetched.splice(0).filter((url) => url.pathname.endsWith('.onnx')).length;
  const expected = ['POSITIVE', ['done', 'download', 'initiate', 'progress', 'progress_total', 'ready']];
  models();
  assert.deepEqual(await load(), expected);
  assert.equal(models(), 1);
  assert.deepEqual(await load(), expected);
  assert.equal(models(), 0);
  // An older model in the cache: what the digest says goes.
  const digest = await page.evaluate(async () => {
    const cache = await caches.open('test');
    const url = new URL('/pkg/model/onnx/model_quantized.onnx', location.href).href;
    const bytes = await (await cache.match(url)).arrayBuffer();
    await cache.put(url, new Response(new Uint8Array(100)));
    return `sha256-${btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))))}`;
  });
  assert.deepEqual(await load({ 'onnx/model_quantized.onnx': digest }), expected);
  assert.equal(models(), 1);
  await page.evaluate(() => import('/pkg/ort.js'));
  await page.context().setOffline(true);
  assert.deepEqual(await load(), expected);
  const offline = await page.evaluate(async () => {
    const { InferenceSession } = await import('/pkg/ort.js');
    return InferenceSession.create('/pkg/other.onnx').catch(({ code, message }) => [code, message]);
  });
  assert.equal(offline[0], 'load-failed');
  assert.match(offline[1], /cannot be fetched: .*; this device is offline$/);
  assert.deepEqual(problems.filter((text) => !/404|ERR_INTERNET_DISCONNECTED/.test(text)), []);
  await page.close();
});

test('the engine restarts after a crash', async () => {
  const { page } = await open();
  const outcome = await page.evaluate(async () => {
    const { InferenceSession, Tensor } = await import('/pkg/ort.js');
    const { pipeline } = await import('/pkg/index.js');
    const session = await InferenceSession.create('/pkg/model/onnx/model_quantized.onnx');
    // All that a wasm module can address: this traps when it is copied inside.
    const length = 2 ** 29 - 2 ** 17;
    const huge = new Tensor('int64', new BigInt64Array(length), [1, length]);
    const { code } = await session.run({ input_ids: huge, attention_mask: huge }).catch((error) => error);
    const classify = await pipeline('sentiment-analysis');
    return [code, (await classify('A warm, funny, wonderful film.'))[0].label];
  });
  assert.deepEqual(outcome, ['crashed', 'POSITIVE']);
  await page.close();
});
