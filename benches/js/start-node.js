// `node start-node.js ENGINE MODEL WHERE`: see start.js; prints JSON. WHERE is JSON, too.

import { readFileSync } from 'node:fs';
import { engines } from './engines.js';
import { start } from './start.js';

const [name, model, where] = process.argv.slice(2);
const bytes = new Uint8Array(readFileSync(model));
console.log(JSON.stringify(await start(engines(JSON.parse(where))[name], bytes)));
