// `node threads-node.js`, by way of `cargo xtask bench --threads`. The environment says where things are.

import { readFileSync, writeFileSync } from 'node:fs';
import { threads } from './threads.js';

const { MODELS, PACKAGES, OUT } = process.env;
const read = (file) => new Uint8Array(readFileSync(`${MODELS}/${file}`));
const models = await threads({ packages: PACKAGES }, read, console.error);
writeFileSync(OUT, JSON.stringify({ engine: `Node ${process.version}`, models }, null, 1));
process.exit(); // threads wait for work
