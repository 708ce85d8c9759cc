// `node threads-report.js`: the section on threads of benches/RESULTS.md, from what was measured in Node and Chromium.

import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';

const { NODE_RESULTS, CHROMIUM_RESULTS, VERSIONS, OUT } = process.env;
const BAR = 1.7;
const HEADING = '## Two threads against one';

const { fourlane, commit } = JSON.parse(VERSIONS);
const all = [NODE_RESULTS, CHROMIUM_RESULTS].map((file) => JSON.parse(readFileSync(file, 'utf8')));
const rows = all.flatMap(({ engine, models }) =>
  models.map(({ what, rounds, engines: [one, two] }) => {
    const verdict = two.faster >= BAR ? 'bar' : 'below';
    return `| ${engine}, ${what} | ${one.ms.toFixed(1)} | ${two.ms.toFixed(1)} | ${two.faster.toFixed(2)}x | ${rounds} | ${verdict} |`;
  }),
);
const section = [
  HEADING,
  '',
  `Written by \`cargo xtask bench --threads\` on ${new Date().toISOString().slice(0, 10)}: fourlane ${fourlane} (${commit}), relaxed SIMD, both in turns`,
  `in one process, or one page's worker, with the same bits; milliseconds are medians, the ratio is the median of each turn's.`,
  `Machine: ${cpus()[0].model}, ${availableParallelism()} cores; load average of the last 15 minutes: ${loadavg()[2].toFixed(1)}. The bar is ${BAR}x.`,
  '',
  '| | one thread, ms | two, ms | faster | rounds | meets |',
  '|---|---:|---:|---:|---:|---|',
  ...rows,
  '',
].join('\n');

// In the place of the older one, or at the end.
const parts = readFileSync(OUT, 'utf8').trimEnd().split(/\n(?=## )/);
const place = parts.findIndex((part) => part.startsWith(`${HEADING}\n`));
parts[place < 0 ? parts.length : place] = section;
writeFileSync(OUT, `${parts.map((part) => part.trimEnd()).join('\n\n')}\n`);
