// Threads: whether they can be had here, how many are good, and the workers that they run in.
//
// The engine's own thread is one of the pool and waits for the others, which a page's main thread is not allowed to do.
// So there are threads where the engine runs in a worker (as it does by default), or in Node.

import { isNode, nodeModule } from './where.js';
import { runsThreads } from './probe.js';

// The other form of the address below is for bundlers, which would take this one for a file of its own.
const here = import.meta.url;
// More threads than this bring little: short texts are bound by reading the weights, and of a phone's cores at most
// four are fast.
const MOST = 4;
const PAGE = 1 << 16;
// Of shared memory all that it may grow to is set aside when it is made, and phones refuse, or end the page, for the
// 4 GB that are possible.
const MAXIMUM = 2 ** 30;
/** Less holds no model that is worth threads. */
export const LEAST_MEMORY = 2 ** 25;
const PATIENCE = 20_000; // milliseconds until a worker counts as one that does not start

/** `{ threads, reason }`: the threads to use, where `wanted` (undefined if nobody said) can be had. */
export async function countThreads(wanted) {
  if (wanted === 1) return { threads: 1, reason: 'options.threads says so' };
  const obstacle = findObstacle();
  if (obstacle) return { threads: 1, reason: obstacle };
  if (wanted !== undefined) return { threads: wanted, reason: 'options.threads says so' };
  const cores = await countCores();
  return { threads: Math.min(cores, MOST), reason: `cores: ${cores}${cores > MOST ? `, more than ${MOST} bring little` : ''}` };
}

/** Why there cannot be threads; undefined if there can. */
function findObstacle() {
  if (globalThis.crossOriginIsolated === false) {
    return 'this page is not cross-origin isolated, as the headers COOP and COEP would make it';
  }
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

/** Memory to be shared, of `initial` pages, that can grow to `maximum` bytes, or to less where so much is refused. */
export function sharedMemory(initial, maximum = MAXIMUM) {
  for (let pages = Math.min(Math.floor(maximum / PAGE), PAGE); ; pages >>= 1) {
    try {
      return new WebAssembly.Memory({ initial, maximum: pages, shared: true });
    } catch (error) {
      if (pages >> 1 < initial) throw error;
    }
  }
}

/**
 * Starts workers for `count` threads beside the calling one. Resolves when all have the module, to
 * `{ work, terminate }`: `work()` sends them to work, once the calling thread has made the pool.
 */
export async function startWorkers(module, memory, count) {
  const { Worker } = isNode ? await nodeModule('worker_threads') : {};
  const workers = [];
  const terminate = () => workers.forEach((worker) => worker.terminate());
  try {
    while (workers.length < count) workers.push(newWorker(Worker));
    await Promise.all(workers.map((worker) => handOver(worker, { module, memory })));
  } catch (error) {
    terminate();
    throw error;
  }
  workers.forEach((worker) => worker.unref?.()); // Node is not to wait for them
  return { terminate, work: () => workers.forEach((worker) => worker.postMessage('work')) };
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
