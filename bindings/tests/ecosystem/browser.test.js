// In a browser without a bundler: page, strict policy, service worker, extension.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import {
  CHROMIUM, ISOLATED, MANY, MODEL, ONE, assertEngines, assertLabels, classifyIn, install, open, page, serve, temporary,
  texts, watch, write,
} from './support.js';

const APP = `
import { info, load, pipeline } from './fourlane/index.js';
import * as ort from './fourlane/ort.js';
let isStrict = false;
try {
  eval('1');
} catch {
  isStrict = true;
}
globalThis.fourlane = { info, load, pipeline, ort, isStrict };
`;

/** Answers messages of texts with their labels. */
const SERVICE_WORKER = `
import { pipeline } from './fourlane/inplace.js';
let loading;
addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
addEventListener('message', ({ data, ports: [port] }) => {
  loading ??= pipeline('sentiment-analysis', '/model');
  const answer = async (classify) => {
    const labels = await classify(data);
    const { steps } = await classify.profile(data[0]); // what it is told with is not imported later, either
    return { labels, steps: steps.length };
  };
  loading.then(answer).then(
    (answer) => port.postMessage(answer),
    (error) => port.postMessage({ error: String(error) }),
  );
});
`;

function site(files) {
  const folder = temporary();
  install(join(folder, 'fourlane'));
  write(folder, { 'index.html': page('app.js'), 'app.js': APP, ...files });
  return folder;
}

const folder = site({ 'service.js': SERVICE_WORKER });

for (const [name, headers, expected] of [['', {}, ONE], [', isolated', ISOLATED, MANY]]) {
  test(`a page under a strict policy${name}`, async () => {
    const { url, requests } = await serve({ '/model/': MODEL, '/': folder }, { headers });
    const { page, problems } = await open(url);
    assert.deepEqual(await classifyIn(page, '/model'), expected);
    assertEngines(requests, expected);
    assert.deepEqual(problems, []);
    assert.equal(await page.evaluate(() => crossOriginIsolated), name !== '');
    assert.ok(await page.evaluate(() => globalThis.fourlane.isStrict));
    await page.close();
  });
}

test('a policy without wasm-unsafe-eval is said to be the reason', async () => {
  const { url } = await serve({ '/': folder }, { policy: "default-src 'self'" });
  const { page } = await open(url);
  await page.waitForFunction(() => globalThis.fourlane);
  const failure = await page.evaluate(() => globalThis.fourlane.load().catch(({ code, message }) => ({ code, message })));
  assert.equal(failure.code, 'load-failed');
  assert.match(failure.message, /Content Security Policy/i);
  await page.close();
});

test('a service worker', async () => {
  const { url, requests } = await serve({ '/model/': MODEL, '/': folder });
  const { page, problems } = await open(url);
  const { labels, steps, error } = await page.evaluate(async (texts) => {
    await navigator.serviceWorker.register('/service.js', { type: 'module' });
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    active.postMessage(texts, [port2]);
    return new Promise((done) => (port1.onmessage = ({ data }) => done(data)));
  }, texts);
  assert.equal(error, undefined);
  assertLabels(labels);
  assert.ok(steps > 10);
  assertEngines(requests, ONE);
  assert.deepEqual(problems, []);
  await page.close();
});

test('an extension: its page and its service worker', async () => {
  const manifest = {
    manifest_version: 3,
    name: 'fourlane',
    version: '1',
    background: { service_worker: 'background.js', type: 'module' },
    content_security_policy: { extension_pages: "script-src 'self' 'wasm-unsafe-eval'; object-src 'self'" },
  };
  const background = `
    import { pipeline } from './fourlane/inplace.js';
    chrome.runtime.onMessage.addListener((texts, sender, respond) => {
      pipeline('sentiment-analysis', chrome.runtime.getURL('fourlane/model'))
        .then((classify) => classify(texts))
        .then((labels) => respond({ labels }), (error) => respond({ error: String(error) }));
      return true; // the answer comes later
    });
  `;
  const extension = site({ 'manifest.json': JSON.stringify(manifest), 'background.js': background });
  const context = await chromium.launchPersistentContext(temporary(), {
    ...CHROMIUM,
    headless: false,
    ignoreDefaultArgs: ['--disable-extensions'],
    args: [
      ...CHROMIUM.args, '--headless=new', `--disable-extensions-except=${extension}`, `--load-extension=${extension}`,
      '--disable-features=DisableLoadExtensionCommandLineSwitch',
    ],
  });
  try {
    const worker = context.serviceWorkers()[0] ?? (await context.waitForEvent('serviceworker', { timeout: 60_000 }));
    const page = await context.newPage();
    const problems = watch(page);
    await page.goto(`chrome-extension://${new URL(worker.url()).host}/index.html`);
    assert.deepEqual(await classifyIn(page, '/fourlane/model'), ONE);
    await classifyIn(page);
    const { labels, error } = await page.evaluate((texts) => chrome.runtime.sendMessage(texts), texts);
    assert.equal(error, undefined);
    assertLabels(labels);
    assert.deepEqual(problems, []);
  } finally {
    await context.close();
  }
});
