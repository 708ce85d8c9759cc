// `node accuracy.js FILE.tsv [MODEL]`, by way of `cargo xtask accuracy`: the share of right labels.
//
// The file is as in GLUE: a header, then one `sentence<TAB>label` a line, where a label is an index into the model's.

import { readFileSync } from 'node:fs';
import { pipeline } from 'fourlane';

const BATCH = 32;
const [file, source] = process.argv.slice(2);
const rows = readFileSync(file, 'utf8')
  .split(/\r?\n/)
  .slice(1)
  .filter((line) => line !== '')
  .map((line) => line.split('\t'));
if (rows.length === 0 || rows.some((row) => row.length !== 2)) {
  console.error(`${file} has no \`sentence<TAB>label\` lines under a header, or others between them`);
  process.exit(1);
}

const classify = await pipeline('text-classification', source);
const begin = performance.now();
let right = 0;
for (let i = 0; i < rows.length; i += BATCH) {
  const part = rows.slice(i, i + BATCH);
  const results = await classify(part.map(([sentence]) => sentence));
  right += results.filter(({ label }, j) => label === classify.labels[part[j][1]]).length;
}
const seconds = (performance.now() - begin) / 1000;
const accuracy = ((100 * right) / rows.length).toFixed(2);
console.log(`accuracy ${accuracy} % (${right} of ${rows.length})`);
console.log(`${seconds.toFixed(1)} s, ${(rows.length / seconds).toFixed(0)} sentences/s`);
