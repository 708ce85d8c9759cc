// Where engines run: in a worker, so that no page waits for one, or on this thread, if that is a worker already, or if
// there are no workers.
//
// All pipelines of a page share one worker: one engine, one memory, one set of threads. It ends, and gives all memory
// back, when the last of them is disposed of.

import { FourlaneError } from './errors.js';
import { Queue } from './queue.js';
import { isNode, nodeModule } from './where.js';

// The other form of the worker's address below is for bundlers, which would take this one for a file of its own.
const here = import.meta.url;
// How long calls have this thread in one go, in milliseconds.
const TURN = 30;

let local;
let remote;
let trouble; // why there is no worker
let calls = 0;

/** What is imported when it is asked for; what inplace.js puts here, where import() is not allowed, is there already. */
export const later = {
  service: () => import('./local.js'),
  pack: () => import('./pack.js'),
  profile: () => import('./profile.js'),
  progress: () => import('./progress.js'),
};

/** A number that nobody else has. */
export function number() {
  return (calls += 1);
}

/** Gives a host, which is to be left again. `worker` is as in the options. */
export async function enter(worker) {
  if (worker !== undefined && typeof worker !== 'boolean') {
    throw new TypeError(`options.worker must be true or false, got ${worker}`);
  }
  const reason = worker === undefined ? (trouble ??= await obstacle()) : !worker && 'options.worker is false';
  if (!reason) {
    const host = (remote ??= new Remote(worker ? 'options.worker is true' : 'the thread that asks does not wait'));
    host.users += 1;
    try {
      await host.started;
      return host;
    } catch (error) {
      leave(host);
      if (worker) throw error;
      trouble = error.message;
    }
  }
  local ??= new Local();
  local.place.workerReason = reason || trouble;
  return local;
}

/** Gives a host up, and what it has by this number. */
export async function leave(host, id) {
  host.users -= 1;
  if (host.users === 0 && !host.isKept) await host.end();
  else await host.call('close', [id]).catch(() => {}); // it may have crashed
}

async function obstacle() {
  const isWorker =
    typeof WorkerGlobalScope === 'function' ||
    (typeof Worker !== 'function' && isNode && !(await nodeModule('worker_threads')).isMainThread);
  if (isWorker) return 'this is a worker already';
  return typeof Worker === 'function' || isNode ? '' : 'there are no workers here';
}

class Host {
  /** How many pipelines there are, and are being made. */
  users = 0;
  /** Whether to stay without any. */
  isKept = false;
  /** What the engine says of itself. */
  engine;
  queue = new Queue(
    async (pipeline, method, texts) => {
      const { flat, facts } = await this.call('run', [pipeline.id, method, texts]);
      pipeline.facts = facts;
      return flat;
    },
    () => this.pause?.(),
  );

  constructor(worker, workerReason) {
    this.place = { worker, workerReason };
  }
}

class Local extends Host {
  isKept = true;
  #service; // the engine's side
  #turn = 0;

  constructor() {
    super(false);
  }

  async call(method, args, report) {
    // Service workers refuse it, in words of their own.
    this.#service ??= await later.service().catch((error) => {
      const what = `the engine cannot be imported here (a service worker imports 'fourlane/inplace'): ${error.message}`;
      throw new FourlaneError('load-failed', what, { cause: error });
    });
    return this.#service[method](...args, report);
  }

  /** Between one run and the next, lets events be handled, such as those that break calls off. */
  async pause() {
    if (performance.now() - this.#turn < TURN) return;
    await new Promise((resolve) => setTimeout(resolve));
    this.#turn = performance.now();
  }
}

async function newWorker() {
  // Deno's own kind keeps a process alive; Node's, which it has too, does not.
  if (typeof Worker !== 'function' || typeof Deno === 'object') {
    return new (await nodeModule('worker_threads')).Worker(new URL('./worker-threads.js', here));
  }
  // Where there cannot be threads, their code stays where it is.
  return globalThis.crossOriginIsolated === false
    ? new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
    : new Worker(new URL('./worker-threads.js', import.meta.url), { type: 'module' });
}

class Remote extends Host {
  #worker;
  #calls = new Map();
  #over; // why there is no worker any more

  constructor(reason) {
    super(true, reason);
    this.started = this.#start();
  }

  async #start() {
    try {
      const worker = (this.#worker = await newWorker());
      const receive = (message) => this.#receive(message);
      const fail = (error) => this.#fail(error);
      if (worker.on) worker.on('message', receive).on('error', fail).on('exit', () => fail({ message: 'it has ended' }));
      else Object.assign(worker, { onmessage: ({ data }) => receive(data), onerror: fail });
      await this.#answer(0);
    } catch (error) {
      // Refused at once by some browsers.
      throw new FourlaneError('load-failed', `the worker cannot be started: ${error.message}`, { cause: error });
    }
  }

  /** Resolves to what the worker answers; `report` hears what it has to say before. Buffers go over and are gone. */
  async call(method, args, report, buffers) {
    if (this.#over) throw this.#over;
    const call = number();
    this.#worker.postMessage([call, method, args, Boolean(report)], buffers);
    return this.#answer(call, report);
  }

  #answer(call, report) {
    this.#worker.ref?.(); // a process waits for answers, and for nothing else
    return new Promise((resolve, reject) => this.#calls.set(call, { resolve, reject, report }));
  }

  #receive([call, report, { result, error, code } = {}]) {
    const waiting = this.#calls.get(call);
    if (!waiting) return; // it has been given up, with the worker
    if (report) return waiting.report(...report);
    this.#calls.delete(call);
    if (this.#calls.size === 0) this.#worker.unref?.();
    if (!error) waiting.resolve(result);
    else waiting.reject(code ? new FourlaneError(code, error.message, { cause: error.cause }) : error);
  }

  #fail(event) {
    event.preventDefault?.();
    // A worker whose file is not there, or not allowed, does not say so.
    const what = event.message ?? 'its file cannot be loaded, or is not allowed to be';
    this.end(`the worker crashed, and what it held is lost; make new pipelines (${what})`);
  }

  /** Ends the worker, and with it all that it holds. */
  end(message = 'the worker has ended') {
    this.#over ??= new FourlaneError('crashed', message);
    if (remote === this) remote = undefined;
    for (const { reject } of this.#calls.values()) reject(this.#over);
    this.#calls.clear();
    return this.#worker?.terminate();
  }
}
