// The queue, with an engine that is pretended: who goes with whom, in which order, and what becomes of whom.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Queue } from '../../js/queue.js';

/** A queue, and what its engine was asked for. A text's row is its length. */
function pretended(run = () => {}) {
  const runs = [];
  const queue = new Queue(async (owner, method, texts) => {
    runs.push(texts);
    await run(owner, method, texts);
    return Float32Array.from(texts, (text) => text.length);
  });
  const add = (texts, options = {}, owner = 'A', method = 'classify') => queue.add(owner, method, texts, options);
  return { queue, runs, add };
}

const lengths = (rows) => rows.map(([length]) => length);
const long = (count, letter = 'x') => Array.from({ length: count }, () => letter.repeat(900));

test('calls that wait go together, and get what is theirs', async () => {
  const { runs, add } = pretended();
  const results = await Promise.all(['a', 'bb', 'ccc'].map((text) => add([text])));
  assert.deepEqual(runs, [['a', 'bb', 'ccc']]);
  assert.deepEqual(results.map(lengths), [[1], [2], [3]]);
  await Promise.all([add(['a']), add(['b'], {}, 'B'), add(['c'], {}, 'A', 'logits'), add(['d'])]);
  assert.deepEqual(runs.slice(1), [['a', 'd'], ['b'], ['c']]);
});

test('a long call goes in parts, and lets others in between', async () => {
  const { runs, add } = pretended();
  const order = [];
  const first = add(long(12)).then((rows) => order.push('first') && rows);
  const second = add(['b']).then(() => order.push('second'));
  const other = add(['c'], {}, 'B').then(() => order.push('other'));
  assert.deepEqual(lengths(await first), Array(12).fill(900));
  await Promise.all([second, other]);
  assert.deepEqual(order, ['second', 'other', 'first']);
  assert.ok(runs.every((texts) => texts.length <= 5));
  assert.deepEqual(runs[1].slice(0, 1), ['b'], 'it waits for one part');
  assert.deepEqual(runs[2], ['c']);
  // Many short ones and one that is longer than a part are all run.
  const { runs: many, add: addMany } = pretended();
  const texts = [...Array(100).fill('a'), 'x'.repeat(100_000), ...Array(100).fill('b')];
  assert.deepEqual(lengths(await addMany(texts)), texts.map((text) => text.length));
  assert.deepEqual(many.flat(), texts);
  assert.ok(many.every(({ length }) => length <= 32));
});

test('breaking off', async () => {
  const { runs, add } = pretended();
  const reason = new Error('no longer wanted');
  const controller = new AbortController();
  const running = add(long(12), { signal: controller.signal });
  const waiting = add(['w'], { signal: controller.signal }, 'B');
  const staying = add(['s'], {}, 'C');
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(runs.length, 1);
  controller.abort(reason);
  await assert.rejects(running, reason);
  await assert.rejects(waiting, reason);
  await staying;
  assert.deepEqual(runs.slice(1), [['s']], 'neither the rest nor who waited');
  controller.abort();
});

test('one that fails does not take others along', async () => {
  const bad = new Error('bad');
  const { runs, add } = pretended((_, __, texts) => {
    if (texts.includes('bad')) throw bad;
  });
  const [good, failed, more] = await Promise.allSettled([add(['good']), add(['bad']), add(['more'])]);
  assert.deepEqual([lengths(good.value), failed.reason, lengths(more.value)], [[4], bad, [4]]);
  assert.deepEqual(runs, [['good', 'bad', 'more'], ['good'], ['bad'], ['more']]);
  const crash = Object.assign(new Error('crash'), { code: 'crashed' });
  const { runs: crashed, add: addCrashed } = pretended(() => {
    throw crash;
  });
  await Promise.all(['a', 'b'].map((text) => assert.rejects(addCrashed([text]), crash)));
  assert.equal(crashed.length, 1, 'a crash is not tried again');
});

test('progress', async () => {
  const { add } = pretended();
  const events = [];
  await add(long(10), { onProgress: (event) => events.push(event) });
  assert.deepEqual(events.map(({ loaded }) => loaded), [4, 8, 10]);
  assert.deepEqual(events.at(-1), { status: 'progress', progress: 100, loaded: 10, total: 10 });
  const stop = new Error('stop');
  const onProgress = () => {
    throw stop;
  };
  await assert.rejects(add(long(10), { onProgress }), stop);
});

test('an owner that ends', async () => {
  const { queue, runs, add } = pretended();
  const gone = new Error('gone');
  const [mine, other] = [add(['a']), add(['b'], {}, 'B')];
  queue.end('A', gone);
  await assert.rejects(mine, gone);
  await other;
  assert.deepEqual(runs, [['b']]);
});
