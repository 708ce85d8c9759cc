// The page, put together: each part is a module of its own and fills its own section.

import { $ } from './dom.js';
import * as batch from './batch.js';
import * as live from './live.js';
import * as models from './models.js';
import * as offline from './offline.js';
import * as panel from './panel.js';

models.start();
batch.start();
live.start(panel.start());

// A file that misses its place is not to replace the page.
for (const name of ['dragover', 'drop']) addEventListener(name, (event) => event.preventDefault());

try {
  await offline.prepare();
  await models.loadDefault(live.loading);
} catch (error) {
  live.fail(error);
} finally {
  $('result').setAttribute('aria-busy', 'false');
}
await offline.confirm();
