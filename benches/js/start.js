// Loading, in a process or worker that has done nothing yet: from bytes in hand, runtime not even imported, to a session
// that can run; then a second session in the same runtime; then how much memory WebAssembly has after a run.

import { Loaded, tokens } from './engines.js';

/** Every memory that a module makes or is given, since none ever shrinks: what they have is what they had at most. */
function watchMemories() {
  const memories = new Set();
  const { Memory, instantiate, instantiateStreaming, Instance } = WebAssembly;
  const note = (instance) => {
    for (const value of Object.values(instance.exports)) if (value instanceof Memory) memories.add(value);
    return instance;
  };
  WebAssembly.Memory = new Proxy(Memory, {
    construct(target, args) {
      const memory = Reflect.construct(target, args);
      memories.add(memory);
      return memory;
    },
  });
  const noteBoth = async (promise) => {
    const result = await promise;
    note(result.instance ?? result);
    return result;
  };
  WebAssembly.instantiate = (...args) => noteBoth(instantiate(...args));
  WebAssembly.instantiateStreaming = (...args) => noteBoth(instantiateStreaming(...args));
  WebAssembly.Instance = new Proxy(Instance, {
    construct: (target, args) => note(Reflect.construct(target, args)),
  });
  return () => [...memories].reduce((sum, memory) => sum + memory.buffer.byteLength, 0);
}

/** `{ cold, warm }` in milliseconds and `memory` in bytes. */
export async function start(engine, bytes) {
  const memory = watchMemories();
  const begin = performance.now();
  const first = await Loaded.load(engine, bytes);
  const cold = performance.now() - begin;

  const { ids, mask } = tokens(1, 128);
  first.setTokens(1, 128, ids, mask);
  await first.run();
  if (!first.output().every(Number.isFinite)) throw new Error(`${engine.name} gives no numbers`);
  const used = memory();
  await first.release();

  const again = performance.now();
  const second = await Loaded.load(engine, bytes);
  const warm = performance.now() - again;
  await second.release();
  return { cold, warm, memory: used };
}
