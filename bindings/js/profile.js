// Where the time of a text goes, step by step, and what lies where in memory meanwhile. A module of its own, imported
// when it is asked for.

const HOLDS = ['input', 'result', 'scratch'];

/** See index.d.ts. `run()` gives what the engine tells of one. */
export async function profile(run, { runs = 1 } = {}) {
  if (!(Number.isSafeInteger(runs) && runs > 0)) {
    throw new TypeError(`runs must be a positive integer, got ${typeof runs === 'number' ? runs : typeof runs}`);
  }
  const all = [];
  while (all.length < runs) all.push(await run());
  // The faster half: what else the machine was doing is no part of the text.
  const time = ([steps]) => steps.reduce((sum, [, , , milliseconds]) => sum + milliseconds, 0);
  const fast = all.sort((a, b) => time(a) - time(b)).slice(0, Math.ceil(runs / 2));
  const mean = (i) => fast.reduce((sum, [steps]) => sum + steps[i][3], 0) / fast.length;
  const [told, regions] = fast[0];
  const steps = told.map(([operator, name, bytes, , input, output], i) => (
    { operator, name, input, output, bytes, milliseconds: mean(i) }
  ));
  const arena = regions.map(([offset, bytes, first, last, holds]) => ({
    holds: HOLDS[holds], name: holds ? steps[first].name : '', offset, bytes, first, last,
  }));
  return { steps, arena, arenaBytes: Math.max(...arena.map(({ offset, bytes }) => offset + bytes)) };
}
