// Bundled by everyone's bundler, and opened in a browser under a strict policy.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { build as esbuild } from 'esbuild';
import { rollup } from 'rollup';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import { build as vite, createServer as viteServer } from 'vite';
import webpack from 'webpack';
import {
  APP, HERE, ISOLATED, MANY, MODEL, ONE, assertLabels, assertEngines, classifyIn, open, page, project, putBeside,
  serve, texts,
} from './support.js';

/** Opens what was built, and classifies there. */
async function opened(folder, source, headers = {}) {
  const { url, requests } = await serve({ '/model/': MODEL, '/': folder }, { headers });
  const { page, problems } = await open(url);
  const expected = headers === ISOLATED ? MANY : ONE;
  assert.deepEqual(await classifyIn(page, source), expected);
  assertEngines(requests, expected);
  assert.deepEqual(problems, []);
  await page.close();
}

test('esbuild, with the files put beside the bundle', async () => {
  const folder = project({ 'app.js': APP });
  const dist = join(folder, 'dist');
  await esbuild({ entryPoints: [join(folder, 'app.js')], bundle: true, format: 'esm', minify: true, outdir: dist, logLevel: 'error' });
  putBeside(dist, folder);
  writeFileSync(join(dist, 'index.html'), page('app.js'));
  await opened(dist, '/model', ISOLATED);
  await opened(dist, null);
});

test('Rollup, with the files put beside the bundle', async () => {
  const folder = project({ 'app.js': APP });
  const dist = join(folder, 'dist');
  const warnings = [];
  const bundle = await rollup({
    input: join(folder, 'app.js'),
    plugins: [nodeResolve({ browser: true })],
    onwarn: (warning) => warnings.push(warning.message),
  });
  await bundle.write({ dir: dist, format: 'es', entryFileNames: '[name].js' });
  await bundle.close();
  assert.deepEqual(warnings, []);
  putBeside(dist, folder);
  writeFileSync(join(dist, 'index.html'), page('app.js'));
  await opened(dist, '/model', ISOLATED);
  await opened(dist, null);
});

test('webpack, which finds the files by itself', async () => {
  const folder = project({ 'app.js': APP });
  const dist = join(folder, 'dist');
  const stats = await promisify(webpack)({
    mode: 'production',
    context: folder,
    entry: './app.js',
    output: { path: dist },
    performance: { hints: false },
  });
  const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
  assert.deepEqual([...errors, ...warnings], []);
  writeFileSync(join(dist, 'index.html'), page('main.js'));
  await opened(dist, '/model', ISOLATED);
  await opened(dist, null);
});

const VITE = { logLevel: 'error', configFile: false };

test('Vite, which finds the files by itself', async () => {
  const folder = project({ 'app.js': APP, 'index.html': page('/app.js') });
  // Files that are inlined become data: URLs, which this policy forbids to fetch.
  await vite({ ...VITE, root: folder, build: { assetsInlineLimit: 0 } });
  await opened(join(folder, 'dist'), '/model', ISOLATED);
  await opened(join(folder, 'dist'), null);
});

test("Vite's development server", async () => {
  const folder = project({ 'app.js': APP, 'index.html': page('/app.js') });
  const optimizeDeps = { exclude: ['fourlane'] };
  const server = await viteServer({ ...VITE, root: folder, optimizeDeps, server: { host: '127.0.0.1', port: 0, hmr: false } });
  await server.listen();
  try {
    const { page } = await open(server.resolvedUrls.local[0]);
    assert.ok((await classifyIn(page)).worker);
    await page.close();
  } finally {
    await server.close();
  }
});

test('a React component', async () => {
  const component = readFileSync(join(HERE, '../../examples/Sentiment.jsx'), 'utf8');
  const main = `
    import { createRoot } from 'react-dom/client';
    import Sentiment from './Sentiment.jsx';
    createRoot(document.body.appendChild(document.createElement('main'))).render(<Sentiment />);
  `;
  const files = { 'Sentiment.jsx': component, 'main.jsx': main, 'index.html': page('/main.jsx') };
  const folder = project(files, ['react', 'react-dom', 'scheduler']);
  await vite({ ...VITE, root: folder });
  const { url } = await serve({ '/': join(folder, 'dist') }, { policy: null });
  const opened = await open(url);
  const results = [];
  for (const text of texts) {
    await opened.page.fill('textarea', text);
    const shown = await opened.page.textContent('output[aria-busy=false]');
    const [, label, percent] = /^(\w+) (\d+) %$/.exec(shown) ?? assert.fail(shown);
    results.push({ label, score: percent / 100 });
  }
  assertLabels(results, 0.02);
  assert.deepEqual(opened.problems, []);
  await opened.page.close();
});
