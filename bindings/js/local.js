// What an engine does for pipelines, on the thread that asks; with threads and files of a disk, if there can be some.

import * as disk from './disk.js';
import { provide } from './engine.js';
import { provideFiles } from './read.js';
import * as threads from './threads.js';

provide(threads);
provideFiles(disk);

export * from './service.js';
