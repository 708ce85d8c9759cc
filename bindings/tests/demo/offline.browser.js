// The page as a folder of any static server: without special headers, not at the root, without a network, and over time.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { label, loaded, open } from './support.js';

const SITE = new URL('../../../target/demo/', import.meta.url);
const BASE = '/some/where/';
const TYPES = { html: 'text/html', js: 'text/javascript', css: 'text/css', wasm: 'application/wasm', svg: 'image/svg+xml', json: 'application/json' };

/** Serves the site with some files changed; `asked` are the paths that were asked for. */
async function serve(changes = {}, port = 0) {
  const asked = [];
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://x').pathname.slice(BASE.length) || 'index.html';
    asked.push(path);
    try {
      const content = changes[path] ?? (await readFile(new URL(path, SITE)));
      response.writeHead(200, { 'content-type': TYPES[path.split('.').at(-1)] ?? 'application/octet-stream' });
      response.end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const { port: bound } = server.address();
  const stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${bound}${BASE}`, port: bound, asked, stop };
}

/** The site with another headline, as a build would have made it. */
async function changed() {
  const [html, worker] = await Promise.all(['index.html', 'sw.js'].map((path) => readFile(new URL(path, SITE), 'utf8')));
  const page = html.replace('Sentiment while you type.', 'A new headline.');
  const digest = (content) => `sha256-${createHash('sha256').update(content).digest('base64')}`;
  assert.ok(worker.includes(digest(html)), 'the worker has the digest of the page');
  return { 'index.html': page, 'sw.js': worker.replace(digest(html), digest(page)) };
}

test('after the first visit there is no need of a network', async () => {
  const { url, asked, stop } = await serve();
  const { page, problems, close } = await open('', { url });
  await page.waitForSelector('#offline:has-text("Works offline")');
  assert.equal(asked.filter((path) => path.endsWith('.onnx')).length, 1, 'the model comes once');
  const engines = asked.filter((path) => path.endsWith('.wasm'));
  const twin = engines[0].replace('.wasm', '-threads.wasm');
  assert.deepEqual(engines.slice(1), [twin], 'and one engine, with its like for an isolated page');
  await stop();

  await page.reload();
  await loaded(page);
  await page.fill('#text', 'Tedious, and far too long.');
  assert.ok((await label(page, 'NEGATIVE')) > 90);
  await page.click('#sample');
  await page.click('#run');
  await page.waitForSelector('#batch-result:not([hidden])');
  await page.waitForSelector('#profile:not([hidden])');
  assert.equal(await page.textContent('#offline'), 'Works offline');
  assert.equal(await page.evaluate(() => crossOriginIsolated), true, 'without headers from the server');
  // The server is gone, which the browser says when it looks for a new version.
  assert.deepEqual(problems.filter((text) => !/ERR_CONNECTION_REFUSED|fetching the script/.test(text)), []);
  await close();
});

test('a new version comes as a whole, when it is wanted, and fetches what has changed', async () => {
  const first = await serve();
  const { page, close } = await open('', { url: first.url });
  await page.waitForSelector('#offline:has-text("Works offline")');
  await first.stop();

  const second = await serve(await changed(), first.port);
  await page.reload();
  await loaded(page);
  assert.equal(await page.textContent('h1'), 'Sentiment while you type.', 'still the old one');
  await page.waitForSelector('#update:not([hidden])');
  await page.click('#update button');
  await page.waitForSelector('h1:has-text("A new headline.")');
  await loaded(page);
  assert.equal(await page.textContent('#offline'), 'Works offline');
  assert.deepEqual([...new Set(second.asked)].sort(), ['index.html', 'sw.js']);
  assert.ok(await page.isHidden('#update'));
  const kept = await page.evaluate(async () => {
    const [name] = await caches.keys();
    return (await (await caches.open(name)).keys()).filter(({ url }) => new URL(url).pathname.endsWith('/where/')).length;
  });
  assert.equal(kept, 1, 'the old page is gone');
  await second.stop();
  await close();
});

test('a new version of which a part is wrong is none', async () => {
  const first = await serve();
  const { page, close } = await open('', { url: first.url });
  await page.waitForSelector('#offline:has-text("Works offline")');
  await first.stop();
  // A server between two versions: it knows the new digests and has the old page.
  const { 'sw.js': worker } = await changed();
  const second = await serve({ 'sw.js': worker }, first.port);
  await page.reload();
  await loaded(page);
  const state = await page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready;
    await registration.update().catch(() => {});
    const { installing } = registration;
    while (installing && !['redundant', 'installed'].includes(installing.state)) await new Promise((resolve) => setTimeout(resolve, 20));
    return [installing?.state ?? 'redundant', registration.waiting];
  });
  assert.deepEqual(state, ['redundant', null]);
  assert.ok(second.asked.includes('index.html'), 'it was tried');
  assert.ok(await page.isHidden('#update'));
  await second.stop();
  await page.reload();
  await loaded(page);
  await close();
});
