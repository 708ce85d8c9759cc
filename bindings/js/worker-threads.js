// worker.js where there can be threads: in pages that are cross-origin isolated, and in Node, where there are files, too.

import * as disk from './disk.js';
import { provide } from './engine.js';
import { provideFiles } from './read.js';
import * as threads from './threads.js';
import './worker.js';

provide(threads);
provideFiles(disk);
