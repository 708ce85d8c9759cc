// The package's manifest and its types, as other people's tools read them.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { HERE, project, tarball } from './support.js';

/** What a program of this folder's packages prints; a failure has it, too. */
function run(script, args, options) {
  const command = [join(HERE, 'node_modules', script), ...args];
  return promisify(execFile)(process.execPath, command, options).catch((error) => error);
}

const PROGRAM = `
import { pipeline, type Label } from 'fourlane';
import ort, { InferenceSession, Tensor } from 'fourlane/ort';

const classify = await pipeline('sentiment-analysis');
export const labels: Label[] = await classify(['a', 'b']);
const session: InferenceSession = await ort.InferenceSession.create(new Uint8Array(1), { executionProviders: ['wasm'] });
const { logits } = await session.run({ x: new Tensor('int64', [1n], [1]) });
export const data: Float32Array = logits.data as Float32Array;
export const ignored: readonly string[] = session.info().ignored;
ort.env.wasm.wasmBinary = new WebAssembly.Module(new Uint8Array(8));

// @ts-expect-error: no such part of the package
await import('fourlane/engine.js');
// @ts-expect-error: outputs are in memory
await InferenceSession.create('model.onnx', { preferredOutputLocation: 'gpu-buffer' });
`;

for (const [module, moduleResolution] of [['node16', 'node16'], ['nodenext', 'nodenext'], ['esnext', 'bundler']]) {
  test(`tsc, moduleResolution ${moduleResolution}`, async () => {
    const folder = project({ 'program.ts': PROGRAM });
    const options = [
      '--module', module, '--moduleResolution', moduleResolution, '--target', 'es2022', '--lib', 'es2022,dom',
      '--types', '', '--strict', '--noEmit',
    ];
    const { stdout } = await run('typescript/bin/tsc', [...options, 'program.ts'], { cwd: folder });
    assert.equal(stdout, '');
  });
}

test('require()', async () => {
  // Of Node 20.19 and newer.
  const script = `
    const { pipeline } = require('fourlane');
    const { Tensor } = require('fourlane/ort');
    console.log(typeof pipeline, typeof Tensor);
  `;
  const folder = project({ 'program.cjs': script });
  const { stdout } = await promisify(execFile)(process.execPath, ['program.cjs'], { cwd: folder });
  assert.equal(stdout, 'function function\n');
});

test('publint', async () => {
  const tar = readFileSync(tarball);
  const pack = { tarball: tar.buffer.slice(tar.byteOffset, tar.byteOffset + tar.byteLength) };
  const { messages, pkg } = await publint({ pack, strict: true });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
});

test('are the types wrong?', async () => {
  // ECMAScript modules alone; what Node 20 and newer can require() too. Files of the model and engines have no types.
  const options = ['--profile', 'esm-only', '--entrypoints', '.', 'ort', '--format', 'ascii', '--no-color'];
  const { stdout, code = 0 } = await run('@arethetypeswrong/cli/dist/index.js', [...options, tarball]);
  assert.equal(code, 0, stdout);
  assert.equal(stdout.match(/node16 \(from ESM\): 🟢 \(ESM\)\nbundler: 🟢/g)?.length, 2, stdout);
});

test('every entry of the manifest leads to a file', async () => {
  const folder = project();
  const { exports } = JSON.parse(readFileSync(join(folder, 'node_modules/fourlane/package.json'), 'utf8'));
  const targets = Object.values(exports).flatMap((target) => (typeof target === 'string' ? target : Object.values(target)));
  for (const target of targets.filter((target) => !target.includes('*'))) {
    assert.ok(existsSync(join(folder, 'node_modules/fourlane', target)), target);
  }
  const names = ['', '/ort', '/fourlane-relaxed.wasm', '/fourlane-simd128.wasm', '/model/config.json', '/package.json'];
  const script = `console.log(JSON.stringify(${JSON.stringify(names)}.map((name) => import.meta.resolve('fourlane' + name))))`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd: folder });
  for (const url of JSON.parse(stdout)) assert.ok(existsSync(new URL(url)), url);
});
