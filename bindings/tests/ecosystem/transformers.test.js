// transformers.js, as npm has it, on `fourlane/ort` in the place that it keeps for a JavaScript engine's own
// onnxruntime, against transformers.js on its own.

import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { HERE, MODEL, ONE, assertEngines, open, page, project, serve } from './support.js';
import { sentiments } from './sentiments.js';

const TRANSFORMERS = join(HERE, 'node_modules/@huggingface/transformers/dist');
const SEAM = Symbol.for('onnxruntime');
/** One range for a whole tensor, as ONNX defines it and onnxruntime computes. */
const LITERAL = { session_options: { literal: true } };

/** Same labels in the same order, and scores that differ by `tolerance` at most. */
function assertSame(ours, theirs, tolerance) {
  assert.equal(theirs.length, 1 + 4 + 3 * 2);
  assert.deepEqual(ours.map(({ label }) => label), theirs.map(({ label }) => label));
  ours.forEach(({ score }, i) => {
    assert.ok(Math.abs(score - theirs[i].score) <= tolerance, `${i}: ${score}, not ${theirs[i].score}`);
  });
}

test('transformers.js in Node', async () => {
  const { href } = pathToFileURL(join(TRANSFORMERS, 'transformers.node.mjs'));
  const models = `${dirname(MODEL)}/`;
  const theirs = await sentiments(await import(href), models, {});
  const fourlane = join(project(), 'node_modules/fourlane/ort.js');
  globalThis[SEAM] = await import(pathToFileURL(fourlane).href);
  try {
    const transformers = await import(`${href}?on=fourlane`);
    assertSame(await sentiments(transformers, models, { device: 'auto' }), theirs, 0.01);
    assertSame(await sentiments(transformers, models, { device: 'auto', ...LITERAL }), theirs, 0.002);
  } finally {
    delete globalThis[SEAM];
  }
});

test('transformers.js in Chromium', async () => {
  const pages = {
    'theirs.html': page('theirs.js'),
    'theirs.js': `
      import * as transformers from '/transformers/transformers.min.js';
      import { sentiments } from '/tests/sentiments.js';
      const file = '/onnxruntime/ort-wasm-simd-threaded.asyncify';
      transformers.env.backends.onnx.wasm.wasmPaths = { mjs: file + '.mjs', wasm: file + '.wasm' };
      globalThis.result = sentiments(transformers, '/', { device: 'wasm' });
    `,
    'ours.html': page('ours.js'),
    'ours.js': `
      import * as ort from '/node_modules/fourlane/ort.js';
      import { sentiments } from '/tests/sentiments.js';
      globalThis[Symbol.for('onnxruntime')] = ort;
      const transformers = await import('/transformers/transformers.min.js');
      const device = 'auto';
      const byRow = await sentiments(transformers, '/', { device });
      globalThis.result = [byRow, await sentiments(transformers, '/', { device, ...${JSON.stringify(LITERAL)} })];
    `,
  };
  const mounts = {
    '/model/': MODEL,
    '/transformers/': TRANSFORMERS,
    '/onnxruntime/': join(HERE, 'node_modules/onnxruntime-web/dist'),
    '/tests/': HERE,
    '/': project(pages),
  };
  const run = async (name, options) => {
    const { url, requests } = await serve(mounts, options);
    const { page, problems } = await open(url + name);
    await page.waitForFunction(() => globalThis.result);
    const result = await page.evaluate(() => globalThis.result);
    await page.close();
    return { result, requests, problems };
  };
  const theirs = await run('theirs.html', { policy: null });
  assert.ok(theirs.requests.some((path) => path.endsWith('asyncify.wasm')));
  // With fourlane it runs under the strict policy. Onnxruntime's own builds differ by 0.004, for the web and for Node.
  const ours = await run('ours.html');
  assertSame(ours.result[0], theirs.result, 0.01);
  assertSame(ours.result[1], theirs.result, 0.006);
  assertEngines(ours.requests, ONE);
  assert.ok(!ours.requests.some((path) => path.startsWith('/onnxruntime/')));
  assert.deepEqual(ours.problems, []);
});
