// Threads: whether they can be had here, how many are good, and the workers that they run in.
//
// The engine's own thread is one of the pool and waits for the others, which a page's main thread is not allowed to do.
// So there are threads where the engine runs in a worker (as it does by default), or in Node.
//
// A page that is not cross-origin isolated does not load this: see engine.js, which gets it by `provide`. It is not for
// import(), which bundlers do not let into every worker.

import { begin, compiled, isThreaded, refuseThreads, report } from './engine.js';
import { FourlaneError } from './errors.js';
import { runsThreads } from './probe.js';
import { initialPages, rawExports, __wbg_reset_state as restart } from './wasm.js';
import { isNode, nodeModule } from './where.js';

// The other form of the address below is for bundlers, which would take this one for a file of its own.
const here = import.meta.url;
// More threads than this bring little: short texts are bound by reading the weights, and of a phone's cores at most
// four are fast.
const MOST = 4;
const PAGE = 1 << 16;
// Of shared memory all that it may grow to is set aside when it is made, and phones refuse, or end the page, for the
// 4 GB that are possible.
const MAXIMUM = 2 ** 30;
const PATIENCE = 20_000; // milliseconds until a worker counts as one that does not start

let pool; // of an engine with threads

/** `{ threads, reason }`: the threads to use, where `wanted` (undefined if nobody said) can be had. */
export async function countThreads(wanted) {
  const obstacle = findObstacle();
  if (obstacle) return { threads: 1, reason: obstacle };
  if (wanted !== undefined) return { threads: wanted, reason: 'options.threads says so' };
  const cores = await countCores();
  return { threads: Math.min(cores, MOST), reason: `cores: ${cores}${cores > MOST ? `, more than ${MOST} bring little` : ''}` };
}

/** Why there cannot be threads; undefined if there can. */
function findObstacle() {
  if (typeof SharedArrayBuffer === 'undefined' || !runsThreads()) return 'this engine has no shared memory';
  if (typeof Worker === 'undefined' && !isNode) return 'workers cannot be started here';
  try {
    // Returns at once: the value is another one. Throws where waiting is not allowed.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
  } catch {
    return "a page's main thread is not allowed to wait for others; in a worker there can be more";
  }
}

async function countCores() {
  if (globalThis.navigator?.hardwareConcurrency) return navigator.hardwareConcurrency;
  if (!isNode) return 1;
  const os = await nodeModule('os');
  return os.availableParallelism?.() ?? os.cpus().length;
}

/** Starts an engine with so many threads, or without if that is what there can be. */
export async function start(choice, threads, reason, options) {
  const engine = await compiled(`${choice.variant}-threads`, options);
  if (!isThreaded(engine)) {
    begin(engine);
    return report(choice, 1, "the caller's .wasm is a build without threads");
  }
  let made;
  try {
    made = new Pool(engine, threads, options.maxMemory);
    await made.start(); // nothing has happened to the glue if the workers do not come
    begin(made);
    pool = made;
    pool.work();
    return report(choice, threads, reason);
  } catch (error) {
    made?.end();
    if (options.wasmBinary !== undefined) refuseThreads(engine, error);
    begin(await compiled(choice.variant, options));
    return report(choice, 1, `${threads} could not be started: ${error.message}`);
  }
}

/** Replaces the instance after a crash; false if that is no matter of this file. The threads wait in the old one. */
export function revive() {
  pool?.end();
  pool?.revive();
  return Boolean(pool);
}

/** Gives the instance that replaced a crashed one its threads; undefined if there is none. */
export async function startAgain(loaded) {
  if (!pool) return undefined;
  pool.revive();
  if (!pool.memory) throw new FourlaneError('load-failed', 'there is no memory for the engine after its crash');
  try {
    await pool.start();
  } catch (error) {
    return report(loaded, 1, `after a crash ${pool.threads} could not be started: ${error.message}`);
  }
  pool.work();
  return loaded;
}

/** What an engine with threads has beside its instance: a module, memory to be shared, and workers. */
class Pool {
  #maximum;
  #workers = [];

  /** `maximum`: to how many bytes memory can grow. */
  constructor({ name, module }, threads, maximum = MAXIMUM) {
    Object.assign(this, { name, module, threads, memory: sharedMemory(maximum) });
    this.#maximum = maximum;
  }

  /** Starts a worker for each thread but the one that calls. Resolves when all have the module. */
  async start() {
    const { Worker } = isNode ? await nodeModule('worker_threads') : {};
    const { module, memory } = this;
    try {
      while (this.#workers.length < this.threads - 1) this.#workers.push(newWorker(Worker));
      await Promise.all(this.#workers.map((worker) => handOver(worker, { module, memory })));
    } catch (error) {
      this.end();
      throw error;
    }
    this.#workers.forEach((worker) => worker.unref?.()); // Node is not to wait for them
  }

  /** Sends the workers to work for the instance that there is now. */
  work() {
    rawExports().fourlane_pool(this.threads);
    this.#workers.forEach((worker) => worker.postMessage('work'));
  }

  /** Ends the workers, and gives up the memory. */
  end() {
    this.#workers.forEach((worker) => worker.terminate());
    this.#workers = [];
    this.memory = undefined;
  }

  /** Another instance, after `end`, if there is memory for it: that of the old one may not be given back yet. */
  revive() {
    if (this.memory) return;
    try {
      const memory = sharedMemory(this.#maximum);
      restart(memory);
      this.memory = memory;
    } catch {
      // `startAgain` tries once more.
    }
  }
}

/** Memory that can grow to `maximum` bytes, or to less where so much is refused. */
function sharedMemory(maximum) {
  for (let pages = Math.min(Math.floor(maximum / PAGE), PAGE); ; pages >>= 1) {
    try {
      return new WebAssembly.Memory({ initial: initialPages, maximum: pages, shared: true });
    } catch (error) {
      if (pages >> 1 < initialPages) throw error;
    }
  }
}

function newWorker(OfNode) {
  if (OfNode) return new OfNode(new URL('./thread.js', here), { execArgv: [] });
  return new Worker(new URL('./thread.js', import.meta.url), { type: 'module' });
}

/** Sends a message and waits for the answer. */
function handOver(worker, message) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('a worker did not start in time')), PATIENCE);
    const settle = (error) => {
      clearTimeout(timer);
      if (error) reject(error);
      else resolve();
    };
    listen(worker, 'message', (answer) => settle(answer.ready ? undefined : new Error(answer.message)));
    listen(worker, 'error', (error) => settle(new Error(error?.message || 'a worker could not be started')));
    worker.postMessage(message);
  });
}

/** Workers of Node are no event targets. */
function listen(worker, event, call) {
  if (worker.on) worker.on(event, call);
  else worker.addEventListener(event, (happened) => call(event === 'message' ? happened.data : happened));
}
