// One thread of the pool, in a worker: of a page's worker or of Node. It instantiates the module over the memory that all
// threads share, says so, and at the next message goes to work and does not come back, unless the engine crashes here: the
// thread that waits for this one is to know.
//
// Imports nothing, so that a bundler may take it for a plain file.

const STACK = 1 << 19; // bytes; kernels need little

let thread; // the exports

/** What the module imports beside the memory are dealings with JavaScript's objects, which a thread does not have. */
async function instantiate({ module, memory }) {
  const imports = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    (imports[from] ??= {})[name] = kind === 'memory' ? memory : () => {};
  }
  thread = (await WebAssembly.instantiate(module, imports)).exports;
}

function listen(port) {
  port.addEventListener('message', ({ data }) => {
    if (thread) {
      thread.__wbindgen_start(STACK);
      try {
        thread.fourlane_work();
      } catch {
        thread.fourlane_fail();
      }
      return;
    }
    instantiate(data).then(
      () => port.postMessage({ ready: true }),
      (error) => port.postMessage({ ready: false, message: String(error?.message ?? error) }),
    );
  });
}

// A page's worker must listen before its script ends; in Node messages wait until somebody does.
if (typeof postMessage === 'function') listen(globalThis);
else import(/* webpackIgnore: true */ /* @vite-ignore */ 'node:worker_threads').then(({ parentPort }) => listen(parentPort));
