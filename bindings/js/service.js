// What an engine does for pipelines, on whatever thread this is: worker.js calls it, or index.js by way of host.js.
//
// Pipelines go by number. All that comes and goes can be cloned from one thread to another.

import { info, load } from './engine.js';
import { readModel } from './files.js';
import model from './model.js';
import { Classifier } from './wasm.js';
import { assemble, newIntake, sessionOptions, toInfo } from './weights.js';

export { load };

const pipelines = new Map();

/** Makes a pipeline; resolves to its labels and its facts. `report(file, loaded, total, isDone)` hears of its files. */
export async function open(id, source, options, report) {
  const controller = new AbortController();
  const { signal } = controller;
  const pipeline = { controller };
  let intake;
  pipelines.set(id, pipeline);
  try {
    const session = sessionOptions(options);
    const engine = load(options);
    intake = newIntake(engine);
    const [files] = await Promise.all([readModel(source ?? model(), { ...options, signal, report }, intake), engine]);
    const { beside, where, path, dtype, config, tokenizer, vocab, tokenizerConfig } = files;
    pipeline.owned = await assemble('pipeline', intake, beside, where, (file) => {
      signal.throwIfAborted();
      return new Classifier(file, ...session, config, tokenizer, vocab, tokenizerConfig);
    });
    signal.throwIfAborted();
    files.end();
    pipeline.names = { file: path, dtype };
    const labels = pipeline.owned.use((classifier) => classifier.labels());
    return { labels, facts: facts(pipeline), engine: info() };
  } catch (error) {
    pipelines.delete(id);
    pipeline.owned?.free();
    throw error;
  } finally {
    intake?.free();
  }
}

/** Runs `classify` (for each text, index and score of all labels, best first) or `logits`. */
export function run(id, method, texts) {
  const pipeline = pipelines.get(id);
  return { flat: pipeline.owned.use((classifier) => classifier[method](texts, 0)), facts: facts(pipeline) };
}

/** Calls `tokenize` or `profile`. */
export function ask(id, method, text) {
  return pipelines.get(id).owned.use((classifier) => classifier[method](text));
}

/** Ends a pipeline, or the making of it. */
export function close(id) {
  const pipeline = pipelines.get(id);
  pipelines.delete(id);
  pipeline?.controller.abort();
  pipeline?.owned?.free();
}

function facts({ owned, names }) {
  return { ...info(), ...names, ...toInfo(owned.use((classifier) => classifier.facts())) };
}
