// Where the time of a text goes, step by step, and what lies where in memory meanwhile. A module of its own, imported
// when it is asked for.

import { FourlaneError } from './errors.js';
import { kind } from './where.js';

const HOLDS = ['input', 'result', 'scratch'];

/** See index.d.ts. */
export function profile(owned, text, { runs = 1 } = {}) {
  if (!(Number.isSafeInteger(runs) && runs > 0)) {
    throw new TypeError(`runs must be a positive integer, got ${typeof runs === 'number' ? runs : kind(runs)}`);
  }
  let steps;
  let regions;
  for (let run = 0; run < runs; run++) {
    const [told, places] = owned.use((classifier) => {
      if (classifier.profile) return classifier.profile(text);
      throw new FourlaneError('unsupported-task', "this engine was built without the cargo feature 'profile'");
    });
    regions = places;
    steps ??= told.map(([operator, name, bytes, , input, output]) => (
      { operator, name, input, output, bytes, milliseconds: 0 }
    ));
    told.forEach(([, , , milliseconds], i) => (steps[i].milliseconds += milliseconds / runs));
  }
  const arena = regions.map(([offset, bytes, first, last, holds]) => ({
    holds: HOLDS[holds], name: holds ? steps[first].name : '', offset, bytes, first, last,
  }));
  return { steps, arena, arenaBytes: Math.max(...arena.map(({ offset, bytes }) => offset + bytes)) };
}
