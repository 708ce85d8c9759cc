// What an engine does for pipelines, on the thread that asks; with threads, if there can be some.

import { provide } from './engine.js';
import * as threads from './threads.js';

provide(threads);

export * from './service.js';
