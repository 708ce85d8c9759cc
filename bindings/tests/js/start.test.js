// Workers that do not start, or end: with a pretended class, global as in a browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { info, pipeline } from 'fourlane';

const failure = (code, words = /./) => ({ name: 'FourlaneError', code, message: words });
const ENGINE = { variant: 'relaxed', reason: 'a test' };

/** Answers as worker.js does, until a text says that it is to crash. */
class Pretended {
  static made = 0;
  static ended = 0;

  constructor(url, options) {
    assert.match(url.href, /\/worker\.js$/);
    assert.deepEqual(options, { type: 'module' });
    Pretended.made += 1;
    this.#post([0]);
  }

  #post(message) {
    setTimeout(() => this.onmessage({ data: message }));
  }

  postMessage([call, method, args]) {
    if (method === 'open') return this.#post([call, undefined, { result: { labels: ['A'], facts: ENGINE, engine: ENGINE } }]);
    if (method === 'run' && args[2][0] === 'crash') return setTimeout(() => this.onerror({ message: 'out of memory' }));
    return this.#post([call, undefined, { result: { flat: Float32Array.of(0, 1), facts: ENGINE } }]);
  }

  terminate() {
    Pretended.ended += 1;
  }
}

test('a worker that ends takes its pipelines along, and no others', async () => {
  globalThis.Worker = Pretended;
  const [one, other] = await Promise.all([pipeline('sentiment-analysis'), pipeline('sentiment-analysis')]);
  assert.equal(Pretended.made, 1);
  assert.deepEqual(await one('text'), [{ label: 'A', score: 1 }]);
  const calls = [one('crash'), other('text')];
  for (const call of calls) await assert.rejects(call, failure('crashed', /the worker crashed.*\(out of memory\)/));
  await assert.rejects(other('text'), failure('crashed'));
  const next = await pipeline('sentiment-analysis');
  assert.equal(Pretended.made, 2);
  assert.deepEqual(await next('text'), [{ label: 'A', score: 1 }]);
  await Promise.all([one.dispose(), other.dispose()]);
  assert.deepEqual(await next('text'), [{ label: 'A', score: 1 }]);
  const before = Pretended.ended;
  await next.dispose();
  assert.equal(Pretended.ended, before + 1);
});

test('a page that has no worker runs models itself, and says so', async () => {
  // A policy forbids it: some browsers throw, others say it later.
  class Refused {
    constructor() {
      throw new Error('Failed to construct it');
    }
  }
  class Missing {
    constructor() {
      setTimeout(() => this.onerror({}));
    }
    terminate() {}
  }
  for (const [Class, words] of [[Refused, /Failed to construct it/], [Missing, /cannot be loaded, or is not allowed/]]) {
    globalThis.Worker = Class;
    await assert.rejects(pipeline('sentiment-analysis', null, { worker: true }), failure('load-failed', words));
  }
  const classify = await pipeline('sentiment-analysis');
  assert.equal((await classify('A warm, funny, wonderful film.'))[0].label, 'POSITIVE');
  assert.equal(classify.info().worker, false);
  assert.match(classify.info().workerReason, /the worker cannot be started/);
  assert.equal(info().worker, false);
  await classify.dispose();
});
