// See start.js; in a module worker of a page.

import { engines } from './engines.js';
import { start } from './start.js';

self.onmessage = async ({ data: { name, model, where } }) => {
  try {
    const bytes = new Uint8Array(await (await fetch(model)).arrayBuffer());
    self.postMessage({ result: await start(engines(where)[name], bytes) });
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};
