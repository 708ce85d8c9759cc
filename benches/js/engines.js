// The engines that have onnxruntime's API: onnxruntime-web itself, and fourlane through `fourlane/ort`, once for each
// of its builds. A package runs one build in a page or process, so each has a folder of its own.

/**
 * `{ name, api, options, start() }`: `api` and what start() needs are imported by `start`, which may be timed.
 * `at` says where the packages are: `{ ort, wasmPaths, packages }`.
 */
export function engines(at) {
  const fourlane = (variant, { options = {}, suffix = '', threads = 1, folder = `pkg-${variant}` } = {}) => ({
    name: `fourlane ${variant}${suffix}`,
    options,
    async start() {
      const { load } = await import(`${at.packages}/${folder}/index.js`);
      const info = await load({ variant, worker: false, threads });
      if (info.threads !== threads) throw new Error(`not ${threads} threads: ${info.reason}`);
      return import(`${at.packages}/${folder}/ort.js`);
    },
  });
  const ort = {
    name: 'onnxruntime-web',
    options: { executionProviders: ['wasm'] },
    async start() {
      const api = await import(at.ort);
      api.env.wasm.numThreads = 1;
      if (at.wasmPaths !== undefined) api.env.wasm.wasmPaths = at.wasmPaths;
      return api;
    },
  };
  return {
    ort,
    simd128: fourlane('simd128'),
    relaxed: fourlane('relaxed'),
    fast: fourlane('relaxed', { options: { accuracy: 'fast' }, suffix: ', fast' }),
    twoThreads: fourlane('relaxed', { suffix: ', two threads', threads: 2, folder: 'pkg-threads' }),
  };
}

/** One model in one engine. */
export class Loaded {
  static async load(engine, bytes) {
    const api = await engine.start();
    const session = await api.InferenceSession.create(bytes, engine.options);
    return Object.assign(new Loaded(), { name: engine.name, api, session });
  }

  /** Makes the tensors of a batch of token ids; `mask` of the same length. */
  setTokens(batch, seq, ids, mask) {
    const tensor = (data) => new this.api.Tensor('int64', data, [batch, seq]);
    this.feeds = { input_ids: tensor(ids), attention_mask: tensor(mask) };
  }

  setMatrix(m, k, a) {
    this.feeds = { a: new this.api.Tensor(a instanceof Uint8Array ? 'uint8' : 'float32', a, [m, k]) };
  }

  run = async () => {
    this.results = await this.session.run(this.feeds);
  };

  output() {
    return Array.from(this.results[this.session.outputNames[0]].data);
  }

  async release() {
    await this.session.release();
    this.feeds = this.results = undefined;
  }
}

/** Ids that recorded results are of, see the models' README. */
export function tokens(batch, seq) {
  const count = batch * seq;
  return {
    ids: BigInt64Array.from({ length: count }, (_, i) => BigInt(((i * 7919 + 11) % 29_000) + 1000)),
    mask: new BigInt64Array(count).fill(1n),
  };
}
