// The package in one graph of modules, for service workers, where import() is not allowed.

import { later } from './host.js';
import * as service from './local.js';
import * as pack from './pack.js';
import * as profile from './profile.js';
import * as progress from './progress.js';

const here = { service, pack, profile, progress };
for (const [name, part] of Object.entries(here)) later[name] = async () => part;

export * from './index.js';
