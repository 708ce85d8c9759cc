// Shared by the tests: the package as `npm install` would lay it down, a strict web server, a browser, and what the
// default model says.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

/** This folder. */
export const HERE = dirname(fileURLToPath(import.meta.url));
const MODULES = join(HERE, 'node_modules');
/** The default model's folder. */
export const MODEL = join(HERE, '../../model');

/** The package as `npm pack` makes it: given by `cargo xtask test`, or packed here. */
export const tarball = process.env.FOURLANE_TARBALL ?? pack();

function pack() {
  const folder = temporary();
  const report = execFileSync('npm', ['pack', '--json', '--pack-destination', folder, join(HERE, '../../pkg')]);
  return join(folder, JSON.parse(report)[0].filename);
}

/** A folder that is gone when the tests are. */
export function temporary() {
  const folder = mkdtempSync(join(tmpdir(), 'fourlane-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A project that has the package installed, and links to `others` of this folder's packages. */
export function project(files = {}, others = []) {
  const folder = temporary();
  install(join(folder, 'node_modules/fourlane'));
  for (const name of others) {
    mkdirSync(dirname(join(folder, 'node_modules', name)), { recursive: true });
    symlinkSync(join(MODULES, name), join(folder, 'node_modules', name));
  }
  write(folder, { 'package.json': '{ "private": true, "type": "module" }', ...files });
  return folder;
}

/** The package's files, alone. */
export function install(folder) {
  mkdirSync(folder, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1']);
}

/** Writes files by name. */
export function write(folder, files) {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

/** What a page needs beside a bundle whose bundler does not look for `new URL('file', import.meta.url)`. */
export function putBeside(bundle, project) {
  const installed = join(project, 'node_modules/fourlane');
  for (const file of readdirSync(installed).filter((name) => /\.wasm$|^(worker|thread).*\.js$/.test(name))) {
    cpSync(join(installed, file), join(bundle, file));
  }
  cpSync(join(installed, 'model'), join(bundle, 'model'), { recursive: true });
}

/** A page with one script. */
export const page = (script) =>
  '<!doctype html><html lang="en"><meta charset="utf-8"><title>test</title>' +
  `<body><script type="module" src="${script}"></script></body></html>`;

/** A program that leaves the package's exports to the test. */
export const APP = `
import { info, load, pipeline } from 'fourlane';
import * as ort from 'fourlane/ort';
globalThis.fourlane = { info, load, pipeline, ort };
`;

/** The strictest policy under which WebAssembly runs. */
export const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";
/** Headers with which a page may share memory among threads. */
export const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** Serves folders by the path they are mounted at: `{ url, requests }`. */
export async function serve(mounts, { policy = POLICY, headers = {} } = {}) {
  const requests = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    requests.push(pathname);
    const [mount, folder] = Object.entries(mounts).find(([mount]) => pathname.startsWith(mount)) ?? [];
    if (pathname === '/favicon.ico') return response.writeHead(204).end();
    let file = folder && join(folder, decodeURIComponent(pathname.slice(mount.length)));
    if (file && pathname.endsWith('/')) file = join(file, 'index.html');
    if (!file || !statSync(file, { throwIfNoEntry: false })?.isFile()) return response.writeHead(404, { 'content-type': 'text/plain' }).end('not found');
    const type = TYPES[extname(file)] ?? 'application/octet-stream';
    const security = policy ? { 'content-security-policy': policy } : {};
    response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store', ...security, ...headers });
    response.end(readFileSync(file));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/`, requests };
}

export const CHROMIUM = {
  executablePath: process.env.CHROME_PATH ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
};

let browser;
after(() => browser?.close());

/** Opens a page; `problems` is what the console said that is wrong. */
export async function open(url) {
  browser ??= await chromium.launch(CHROMIUM);
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const problems = watch(page);
  await page.goto(url);
  return { page, problems };
}

export function watch(page) {
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && problems.push(message.text()));
  return problems;
}

/** Sentences with token ids and the logits that onnxruntime gave, confident ones of both labels. */
export const recorded = [0, 2, 9, 12, 28].map(
  (index) => JSON.parse(readFileSync(join(MODEL, 'expected.json'), 'utf8'))[index],
);
export const texts = recorded.map(({ text }) => text);

/** Fails unless these are the labels and scores of `texts`. */
export function assertLabels(results, tolerance = 0.01) {
  assert.equal(results.length, recorded.length);
  recorded.forEach(({ text, logits: { quantized } }, i) => {
    const [negative, positive] = quantized;
    const label = positive > negative ? 'POSITIVE' : 'NEGATIVE';
    const score = 1 / (1 + Math.exp(-Math.abs(positive - negative)));
    assert.equal(results[i].label, label, text);
    assert.ok(Math.abs(results[i].score - score) < tolerance, `${text}: ${results[i].score}, not ${score}`);
  });
}

/** Classifies in an opened page that has run `APP`, by both of the package's interfaces. */
export async function classifyIn(page, source = null) {
  await page.waitForFunction(() => globalThis.fourlane);
  const { labels, logits, info } = await page.evaluate(
    async ({ texts, source, ids }) => {
      const { pipeline, ort } = globalThis.fourlane;
      const classify = await pipeline('sentiment-analysis', source);
      const labels = await classify(texts);
      const { variant, worker, threads } = await classify.info();
      await classify.dispose();
      if (source === null) return { labels, info: { variant, worker, threads } };
      const session = await ort.InferenceSession.create(`${source}/onnx/model_quantized.onnx`);
      const tensor = (data) => new ort.Tensor('int64', data, [1, data.length]);
      const { logits } = await session.run({ input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1)) });
      await session.release();
      return { labels, logits: [...logits.data], info: { variant, worker, threads } };
    },
    { texts, source, ids: recorded[0].input_ids },
  );
  assertLabels(labels);
  if (source !== null) {
    logits.forEach((logit, i) => assert.ok(Math.abs(logit - recorded[0].logits.quantized[i]) < 0.05));
  }
  return info;
}

/** What `classifyIn` says where there can be threads, and where not. */
export const MANY = {
  variant: 'relaxed',
  worker: true,
  threads: Math.min(availableParallelism(), 4),
};
export const ONE = { ...MANY, threads: 1 };

/**
 * Fails unless a page fetched one engine; or two, if its worker has threads, and the page, which must not wait for
 * others, has an engine of its own for `fourlane/ort`.
 */
export function assertEngines(requests, { threads }) {
  const engines = new Set(requests.filter((path) => path.endsWith('.wasm')));
  assert.equal(engines.size, threads > 1 ? 2 : 1, [...engines].join());
}
