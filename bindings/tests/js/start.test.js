// Workers that do not start, or end: with a pretended class in place of Node's.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import { test } from 'node:test';
import workerThreads from 'node:worker_threads';
import { info, pipeline } from 'fourlane';

const failure = (code, words = /./) => ({ name: 'FourlaneError', code, message: words });
const ENGINE = { variant: 'relaxed', reason: 'a test' };

/** Workers are of this class from now on. */
function workersAre(Class) {
  workerThreads.Worker = Class;
  syncBuiltinESMExports();
}

/** Answers as worker.js does, until a text says that it is to crash. */
class Pretended extends EventEmitter {
  static made = 0;
  static ended = 0;

  constructor(url) {
    super();
    assert.match(url.href, /\/worker-threads\.js$/);
    Pretended.made += 1;
    this.#post([0]);
  }

  #post(message) {
    setTimeout(() => this.emit('message', message));
  }

  postMessage([call, method, args]) {
    if (method === 'open') return this.#post([call, undefined, { result: { labels: ['A'], facts: ENGINE, engine: ENGINE } }]);
    if (method === 'run' && args[2][0] === 'crash') return setTimeout(() => this.emit('error', new Error('out of memory')));
    if (method === 'run' && args[2][0] === 'exit') return setTimeout(() => this.emit('exit', 1));
    return this.#post([call, undefined, { result: { flat: Float32Array.of(0, 1), facts: ENGINE } }]);
  }

  terminate() {
    Pretended.ended += 1;
  }
}

test('a worker that ends takes its pipelines along, and no others', async () => {
  workersAre(Pretended);
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
  const last = await pipeline('sentiment-analysis');
  await assert.rejects(last('exit'), failure('crashed', /\(it has ended\)$/));
  await last.dispose();
});

test('a page that has no worker runs models itself, and says so', async () => {
  class Refused {
    constructor() {
      throw new Error('Failed to construct it');
    }
  }
  // As a browser tells of a file that is not there, or that a policy forbids: without words.
  class Missing extends EventEmitter {
    constructor() {
      super();
      setTimeout(() => this.emit('error', {}));
    }
    terminate() {}
  }
  for (const [Class, words] of [[Refused, /Failed to construct it/], [Missing, /cannot be loaded, or is not allowed/]]) {
    workersAre(Class);
    await assert.rejects(pipeline('sentiment-analysis', null, { worker: true }), failure('load-failed', words));
  }
  const classify = await pipeline('sentiment-analysis');
  assert.equal((await classify('A warm, funny, wonderful film.'))[0].label, 'POSITIVE');
  assert.equal(classify.info().worker, false);
  assert.match(classify.info().workerReason, /the worker cannot be started/);
  assert.equal(info().worker, false);
  await classify.dispose();
});
