// Memory over many pipelines and many texts: shared by the tests in Node and in Chromium.
//
// `counts`: how many times to load and dispose, how many texts to classify. The engine's memory must not grow after a
// first part of each; `held()` may give further bytes to hold to that, such as those of the process.

/**
 * How much the engine's memory may be more: nothing. Only, what threads allocate falls between the parts of a model or
 * behind them as it happens; a leak in each of the rounds would be more than that.
 */
const ROOM = { engine: ({ threads }) => (threads > 1 ? 4 << 20 : 0), session: () => 0 };

/** Classifies, loads and disposes; throws if memory grows. Runs in a page, too, so it imports nothing. */
export async function soak({ pipeline }, source, options, { cycles, texts: total }, held = () => ({})) {
  const start = { task: 'text-classification', options };
  const keeper = await pipeline(start.task, source, options); // the worker stays as long as one pipeline does
  const words = ['a', 'b', 'ab', 'ba', 'c', 'abc'];
  // Of all lengths, the longest first: memory is as much as the largest run takes.
  const text = (i) => Array.from({ length: 1 + ((i * 7) % 60) }, (_, j) => words[(i + j) % words.length]).join(' ');
  const batch = Array.from({ length: 100 }, (_, i) => text(i));
  const measure = () => ({ engine: keeper.info().engineBytes, session: keeper.info().memoryBytes, ...held() });

  async function steady(what, rounds, round) {
    const warm = Math.ceil(rounds / 10);
    for (let i = 0; i < warm; i += 1) await round(i);
    const before = await measure();
    for (let i = warm; i < rounds; i += 1) await round(i);
    const after = await measure();
    for (const [name, bytes] of Object.entries(after)) {
      const { [name]: first } = before;
      const room = ROOM[name]?.(options) ?? Math.max(0.5 * first, 64 << 20); // garbage comes and goes
      if (bytes > first + room) throw new Error(`${what}: ${name} grew from ${first} to ${bytes} bytes`);
    }
    return after;
  }

  const classified = await steady('classify', total / batch.length, async (i) => {
    // In turns: all at once, and one by one, which go together.
    if (i % 2) await Promise.all(batch.map((text) => keeper(text)));
    else await keeper(batch);
  });
  const loaded = await steady('load and dispose', cycles, async () => {
    const classify = await pipeline(start.task, source, options);
    await classify('a b');
    await classify.dispose();
    await keeper('a b');
  });
  await keeper.dispose();
  return { classified, loaded };
}
