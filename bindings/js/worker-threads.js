// worker.js where there can be threads: in pages that are cross-origin isolated, and in Node.

import { provide } from './engine.js';
import * as threads from './threads.js';
import './worker.js';

provide(threads);
