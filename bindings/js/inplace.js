// The package in one graph of modules, for service workers, where import() is not allowed.

import { provide } from './host.js';
import * as service from './service.js';

provide(service);

export * from './index.js';
