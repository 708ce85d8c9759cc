// A model whose weights are in files beside it: the model itself says which, and those are fetched, no others.

import { Owned } from './engine.js';
import { FourlaneError } from './errors.js';
import { ModelFile } from './wasm.js';

/**
 * Makes a `what` of a model by calling `make(file)`. `beside(location)` gives the bytes of a file that the model names,
 * or undefined if it is not `where` it should be.
 */
export async function assemble(what, model, beside, where, make) {
  const file = new Owned('model', () => new ModelFile(model.length));
  try {
    file.use((file) => file.feed(model));
    const locations = file.use((file) => file.external_files());
    const contents = await Promise.all(locations.map(beside));
    const missing = locations.find((_, i) => contents[i] === undefined);
    if (missing !== undefined) {
      throw new FourlaneError('missing-file', `the model has weights in a file '${missing}', which is not ${where}`);
    }
    file.use((file) => locations.forEach((location, i) => file.add(location, contents[i])));
    return new Owned(what, () => make(file.take()));
  } finally {
    file.free();
  }
}
