// Threads in Node: the same bits as without, and what happens where there cannot be any.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { probe, runsThreads } from '../../js/probe.js';
import { trapping } from './trap.js';

const PACKAGE = new URL('../../pkg/', import.meta.url);
const variant = process.env.FOURLANE_VARIANT;

/** Runs a script in a Node of its own, since there is one engine in each; gives what it prints, as JSON. */
async function run(script) {
  const prelude = `
    const { load, info, pipeline, FourlaneError } = await import('${new URL('index.js', PACKAGE)}');
    const options = { worker: false, variant: ${JSON.stringify(variant)} };
    const texts = ['A gem.', '', 'a rather long sentence about a film '.repeat(16), ...Array(20).fill('Two hours of my life.')];
    const print = (value) => console.log(JSON.stringify(value));
  `;
  const wrapped = `(async () => {${prelude}${script}})()`;
  const flags = process.execArgv.filter((flag) => flag.includes('wasm'));
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, '-e', wrapped], { timeout: 120_000 });
  return JSON.parse(stdout);
}

const classified = (options) => `
  const classify = await pipeline('sentiment-analysis', null, { ...options, ${options} });
  print({ info: classify.info(), logits: (await classify.logits(texts)).map((row) => [...new Uint32Array(row.slice().buffer)]) });
`;

test('the bits of one thread, on any number, in a worker and on the main thread', async () => {
  const one = await run(classified('threads: 1'));
  assert.equal(one.info.threads, 1);
  assert.match(one.info.reason, /; one thread \(options\.threads says so\)$/);
  for (const threads of [2, 3, 4]) {
    for (const worker of [false, true]) {
      const several = await run(classified(`threads: ${threads}, worker: ${worker}`));
      assert.equal(several.info.threads, threads);
      assert.match(several.info.reason, new RegExp(`; ${threads} threads \\(options\\.threads says so\\)$`));
      assert.equal(several.info.variant, one.info.variant);
      assert.deepEqual(several.logits, one.logits, `${threads} threads`);
    }
  }
});

test('as many as cores by default, and one .wasm is read', async () => {
  const { threads, reason, cores, read } = await run(`
    const fs = (await import('node:fs/promises')).default;
    const { syncBuiltinESMExports } = await import('node:module');
    const original = fs.open;
    const read = [];
    fs.open = (file, ...rest) => (read.push(String(file)), original(file, ...rest));
    syncBuiltinESMExports();
    const { threads, reason } = await load(options);
    print({ threads, reason, read, cores: (await import('node:os')).availableParallelism() });
  `);
  assert.equal(threads, Math.min(cores, 4));
  assert.match(reason, cores === 1 ? /; one thread \(cores: 1\)$/ : new RegExp(`; ${threads} threads \\(cores: ${cores}`));
  const engines = read.filter((file) => file.endsWith('.wasm'));
  assert.equal(engines.length, 1);
  assert.match(engines[0], cores === 1 ? /(simd128|relaxed)\.wasm$/ : /-threads\.wasm$/);
});

test('workers that do not start leave one thread, and the reason', async () => {
  const { info, label } = await run(`
    const threads = (await import('node:worker_threads')).default;
    const { syncBuiltinESMExports } = await import('node:module');
    threads.Worker = class { constructor() { throw new Error('no more processes'); } };
    syncBuiltinESMExports();
    const classify = await pipeline('sentiment-analysis', null, { ...options, threads: 2 });
    print({ info: classify.info(), label: (await classify('A gem.'))[0].label });
  `);
  assert.equal(info.threads, 1);
  assert.match(info.reason, /; one thread \(2 could not be started: no more processes\)$/);
  assert.equal(label, 'POSITIVE');
});

test('without shared memory there is one thread, and the reason', async () => {
  const { threads, reason } = await run(`
    delete globalThis.SharedArrayBuffer;
    print(await load({ ...options, threads: 2 }));
  `);
  assert.equal(threads, 1);
  assert.match(reason, /; one thread \(this engine has no shared memory\)$/);
});

test('a .wasm of the caller is taken for what it is', async () => {
  const file = (name) => `(await (await import('node:fs/promises')).readFile(new URL('${new URL(name, PACKAGE)}')))`;
  const given = (name, rest) => run(`print(await load({ ...options, wasmBinary: ${file(name)}, variant: 'simd128', ${rest} }))`);
  const threaded = await given('fourlane-simd128-threads.wasm', 'threads: 2');
  assert.equal(threaded.threads, 2);
  const single = await given('fourlane-simd128.wasm', 'threads: 2');
  assert.equal(single.threads, 1);
  assert.match(single.reason, /the caller's \.wasm is a build without threads/);
  const error = `load({ ...options, variant: 'simd128', threads: 1, wasmBinary: ${file('fourlane-simd128-threads.wasm')} })`;
  const message = await run(`await ${error}.catch(({ code, message }) => print([code, message]))`);
  assert.equal(message[0], 'load-failed');
  assert.match(message[1], /a build with threads, which cannot be started: options\.threads says so/);
});

test('memory that is refused is asked for in halves, and what is no number is an error', async () => {
  const { threads, asked } = await run(`
    const { Memory } = WebAssembly;
    const asked = [];
    WebAssembly.Memory = function (descriptor) {
      asked.push(descriptor.maximum);
      if (descriptor.maximum > 8192) throw new RangeError('could not allocate memory');
      return new Memory(descriptor);
    };
    const { threads } = await load({ ...options, threads: 2 });
    print({ threads, asked });
  `);
  assert.equal(threads, 2);
  assert.deepEqual(asked, [16384, 8192]);
  const given = await run(`
    const { Memory } = WebAssembly;
    WebAssembly.Memory = function (descriptor) { print(descriptor.maximum); return new Memory(descriptor); };
    await load({ ...options, threads: 2, maxMemory: 2 ** 26 });
  `);
  assert.equal(given, 1024);
  for (const [option, words] of [['threads: 0', /positive integer, got 0/], ['threads: 1.5', /got 1\.5/], ['maxMemory: 1000', /bytes/]]) {
    const [name, message] = await run(`await load({ ...options, ${option} }).catch(({ name, message }) => print([name, message]))`);
    assert.equal(name, 'TypeError');
    assert.match(message, words);
  }
});

test('one engine in a process: others are refused', async () => {
  const [same, code, message] = await run(`
    await load({ ...options, threads: 2 });
    const same = await load(options);
    await load({ ...options, threads: 3 }).catch(({ code, message }) => print([same.threads, code, message]));
  `);
  assert.deepEqual([same, code], [2, 'load-failed']);
  assert.match(message, /an engine with 2 threads runs already, one with 3 cannot/);
});

test('after a crash threads are others, and a process ends while they wait', async () => {
  const { results, infos, alive } = await run(`
    const { Worker } = await import('node:worker_threads');
    const { fileURLToPath } = await import('node:url');
    const workers = [];
    const { prototype } = Worker;
    const { postMessage } = prototype;
    const ended = new Set();
    prototype.postMessage = function (message) {
      if (!workers.includes(this)) {
        workers.push(this);
        this.on('exit', () => ended.add(this));
      }
      return postMessage.call(this, message);
    };
    const classify = await pipeline('sentiment-analysis', null, { ...options, threads: 3, maxMemory: 2 ** 28 });
    const first = await classify.logits(texts);
    const { InferenceSession, Tensor } = await import('${new URL('ort.js', PACKAGE)}');
    const session = await InferenceSession.create(fileURLToPath('${new URL('model/onnx/model_quantized.onnx', PACKAGE)}'));
    // More than the memory can hold: this traps when it is copied inside.
    const huge = new Tensor('int64', new BigInt64Array(2 ** 26), [1, 2 ** 26]);
    const results = [];
    await session.run({ input_ids: huge, attention_mask: huge }).catch((error) => results.push(error.code));
    await classify('A gem.').catch((error) => results.push(error.code));
    const again = await pipeline('sentiment-analysis', null, options);
    const second = await again.logits(texts);
    results.push(JSON.stringify(first) === JSON.stringify(second));
    await new Promise((resolve) => setTimeout(resolve, 500));
    print({ results, infos: [info().threads, again.info().threads], alive: workers.map((worker) => !ended.has(worker)) });
  `);
  assert.deepEqual(results, ['crashed', 'crashed', true]);
  assert.deepEqual(infos, [3, 3]);
  assert.deepEqual(alive, [false, false, true, true]);
});

test('a crash of one thread is one of the engine, which nobody waits for', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fourlane-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'trap.wasm');
  writeFileSync(file, trapping(readFileSync(new URL(`fourlane-${variant ?? probe().variant}-threads.wasm`, PACKAGE))));
  // Run in a thread before its own script.
  const trap = `
    const { instantiate } = WebAssembly;
    const bytes = require('node:fs').readFileSync(${JSON.stringify(file)});
    WebAssembly.instantiate = async (module, imports) => instantiate(await WebAssembly.compile(bytes), imports);
  `;
  for (const threads of [2, 4]) {
    const { errors, threads: after, label } = await run(`
      const threads = (await import('node:worker_threads')).default;
      const { syncBuiltinESMExports } = await import('node:module');
      const { Worker } = threads;
      threads.Worker = class extends Worker {
        constructor(url, options) {
          super(${JSON.stringify(trap)} + 'import(' + JSON.stringify(url.href) + ')', { ...options, eval: true });
        }
      };
      syncBuiltinESMExports();
      const wanted = { ...options, threads: ${threads} };
      // Loading has work for threads, and so have runs; now and then others are faster than a thread, and do all of it.
      const errors = [];
      for (let i = 0; i < 200 && errors.length === 0; i += 1) {
        await pipeline('sentiment-analysis', null, wanted)
          .then((classify) => classify(texts[2]))
          .catch((error) => errors.push(error));
      }
      threads.Worker = Worker;
      syncBuiltinESMExports();
      const next = await pipeline('sentiment-analysis', null, wanted);
      print({
        errors: errors.map(({ code, message, cause }) => [code, message, String(cause)]),
        threads: next.info().threads,
        label: (await next('A gem.'))[0].label,
      });
    `);
    assert.equal(errors[0]?.[0], 'crashed');
    assert.match(errors[0][1], /^the engine crashed/);
    assert.match(errors[0][2], /^RuntimeError: unreachable/);
    assert.deepEqual([after, label], [threads, 'POSITIVE']);
  }
});

test('the probe for threads holds what the builds hold', async () => {
  for (const name of ['simd128', 'relaxed']) {
    const bytes = readFileSync(new URL(`fourlane-${name}-threads.wasm`, PACKAGE));
    if (WebAssembly.validate(readFileSync(new URL(`fourlane-${name}.wasm`, PACKAGE)))) {
      assert.equal(runsThreads(), WebAssembly.validate(bytes));
    }
  }
});
