// Times that can be compared: contestants take turns, so that whatever else the machine does meets all of them.

/** The middle one. */
export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Milliseconds, of all contestants together, after which what is hot in them is known. */
const WARM = 2000;

/**
 * Runs contestants `{ name, run }` in turns, each first in its turn, and returns `{ name: [milliseconds] }`. After some
 * rounds that are not counted, in which the engines' compilers find what is hot, there are at least `rounds.least`, then
 * more up to `rounds.most` while the time of one case (`rounds.seconds`) lasts. `warm` is how many milliseconds they
 * have run before.
 */
export async function takeTurns(contestants, rounds, warm = 0) {
  const times = Object.fromEntries(contestants.map(({ name }) => [name, []]));
  const warming = performance.now() - warm;
  while (performance.now() - warming < WARM) {
    for (const { run } of contestants) await run();
  }
  const begin = performance.now();
  for (let round = 0; round < rounds.most; round++) {
    if (round >= rounds.least && performance.now() - begin > rounds.seconds * 1000) break;
    for (let i = 0; i < contestants.length; i++) {
      const { name, run } = contestants[(i + round) % contestants.length];
      const start = performance.now();
      await run();
      times[name].push(performance.now() - start);
    }
  }
  return times;
}

/** How many times faster `ours` is than `theirs`: the median over rounds, in each of which both had their turn. */
export function ratio(times, ours, theirs) {
  return median(times[ours].map((time, round) => times[theirs][round] / time));
}

/** The largest difference of two arrays of numbers; infinite if they are not of the same length. */
export function distance(a, b) {
  if (a.length !== b.length || a.length === 0) return Infinity;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(Number(a[i]) - Number(b[i]));
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Infinity : difference;
  }
  return worst;
}

/** Throws unless all agree with the first: what computes something else is not compared. */
export function agree(what, results, tolerance) {
  const [first, ...others] = results;
  let worst = 0;
  for (const { name, values } of others) {
    const found = distance(values, first.values);
    if (!(found <= tolerance)) {
      throw new Error(`${what}: ${name} is ${found} away from ${first.name}, more than ${tolerance}`);
    }
    worst = Math.max(worst, found);
  }
  return worst;
}
