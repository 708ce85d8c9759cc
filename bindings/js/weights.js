// A model whose weights are in files beside it: the model itself says which, and those are fetched, no others.

import { Owned } from './engine.js';
import { FourlaneError } from './errors.js';
import { ModelFile } from './wasm.js';
import { kind } from './where.js';

/**
 * What takes a model's bytes while they come: the engine keeps each tensor as soon as it is there. `engine` resolves when
 * there is one.
 */
export function newIntake(engine) {
  let file;
  return {
    /** Begins, perhaps again, with a file of so many bytes; 0 if nobody knows. */
    async begin(length) {
      await engine;
      file?.free();
      file = engine && new Owned('model', () => new ModelFile(length || undefined));
    },
    feed: (bytes) => file.use((file) => file.feed(bytes)),
    take: () => file,
    /** Ends the taking: what still comes fails. What has been made of the model stays. */
    free() {
      engine = undefined;
      file?.free();
    },
  };
}

/**
 * Makes a `what` of the model in an intake by calling `make(file)`. `beside(location)` gives the bytes of a file that the
 * model names, or undefined if it is not `where` it should be.
 */
export async function assemble(what, intake, beside, where, make) {
  const file = intake.take();
  const locations = file.use((file) => file.external_files());
  const contents = await Promise.all(locations.map(beside));
  const missing = locations.find((_, i) => contents[i] === undefined);
  if (missing !== undefined) {
    throw new FourlaneError('missing-file', `the model has weights in a file '${missing}', which is not ${where}`);
  }
  file.use((file) => locations.forEach((location, i) => file.add(location, contents[i])));
  return new Owned(what, () => make(file.take()));
}

/** The options of a session, as its constructor takes them. */
export function sessionOptions({ literal = false, accuracy = 'exact' }) {
  if (typeof literal !== 'boolean') throw new TypeError(`options.literal must be true or false, got ${kind(literal)}`);
  if (accuracy !== 'exact' && accuracy !== 'fast') {
    throw new TypeError(`options.accuracy must be 'exact' or 'fast', got '${accuracy}'`);
  }
  return [literal, accuracy === 'fast'];
}

/** What a session tells of itself, as an object. */
export function toInfo(facts) {
  const { integerModes, ...info } = Object.fromEntries(facts);
  return { ...info, integerModes: Object.fromEntries(integerModes) };
}
