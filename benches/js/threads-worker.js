// See threads.js; in a module worker of a page, since a page itself may not wait for threads.

import { threads } from './threads.js';

self.onmessage = async ({ data: { where } }) => {
  const read = async (file) => new Uint8Array(await (await fetch(`/models/${file}`)).arrayBuffer());
  try {
    self.postMessage({ result: await threads(where, read, (line) => console.log(line)) });
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};
