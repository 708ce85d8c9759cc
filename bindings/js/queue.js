// Where calls wait for an engine, which does one thing at a time.
//
// Texts of several calls to one pipeline go into one run, as many as are good for the engine; a call of many texts goes
// in parts. Whoever has had a part goes to the end, so a short call waits for one part of a long one at most. A call
// that is broken off rejects at once, and what of it has not begun never runs.

// The cost of a run, in characters: about 500 tokens, at which a product of matrices is as fast as it gets.
const ROOM = 4096;
// What a text costs besides its own.
const TEXT = 128;

export class Queue {
  #jobs = new Set(); // in the order of their turns
  #isBusy = false;
  #run;
  #pause;

  /** `run(owner, method, texts)` resolves to an array of equal parts, one a text; `pause()` may give others the thread. */
  constructor(run, pause) {
    this.#run = run;
    this.#pause = pause;
  }

  /** Resolves to what `method` of an owner gives for each text. */
  async add(owner, method, texts, { signal, onProgress }) {
    const job = { owner, method, texts, rows: [], onProgress };
    const result = new Promise((resolve, reject) => Object.assign(job, { resolve, reject }));
    const abort = () => this.#reject(job, signal.reason);
    signal?.addEventListener('abort', abort);
    this.#jobs.add(job);
    this.#work();
    return result.finally(() => signal?.removeEventListener('abort', abort));
  }

  /** Rejects what waits for an owner that is no more. */
  end(owner, error) {
    for (const job of this.#jobs) if (job.owner === owner) this.#reject(job, error);
  }

  #reject(job, error) {
    this.#jobs.delete(job);
    job.reject(error);
  }

  async #work() {
    if (this.#isBusy) return;
    this.#isBusy = true;
    while (this.#jobs.size > 0) {
      await this.#pause?.(); // calls that are made together go together
      if (this.#jobs.size === 0) break;
      const parts = this.#next();
      const [{ owner, method }] = parts.map(({ job }) => job);
      const texts = parts.flatMap((part) => part.texts);
      try {
        const flat = await this.#run(owner, method, texts);
        const size = flat.length / texts.length;
        let start = 0;
        for (const { job, texts } of parts) {
          for (const _ of texts) job.rows.push(flat.subarray(start, (start += size)));
          this.#proceed(job);
        }
      } catch (error) {
        // One text may have failed all of them.
        const isOne = parts.length === 1 || error.code === 'crashed';
        for (const { job } of parts) isOne ? this.#reject(job, error) : (job.isAlone = true);
      }
    }
    this.#isBusy = false;
  }

  /** What to run: `{ job, texts }` of one job or several. */
  #next() {
    const [first] = this.#jobs;
    const parts = [];
    let room = ROOM;
    for (const job of this.#jobs) {
      if (room <= 0) break;
      if (job.owner !== first.owner || job.method !== first.method) continue;
      if (parts.length > 0 && (first.isAlone || job.isAlone)) continue;
      let end = job.rows.length;
      while (room > 0 && end < job.texts.length) room -= TEXT + job.texts[end++].length;
      parts.push({ job, texts: job.texts.slice(job.rows.length, end) });
    }
    return parts;
  }

  /** After a part of a job, which may have been rejected meanwhile. */
  #proceed(job) {
    if (!this.#jobs.delete(job)) return;
    const [loaded, total] = [job.rows.length, job.texts.length];
    try {
      job.onProgress?.({ status: 'progress', progress: (100 * loaded) / total, loaded, total });
    } catch (error) {
      return job.reject(error);
    }
    if (loaded < total) this.#jobs.add(job);
    else job.resolve(job.rows);
  }
}
