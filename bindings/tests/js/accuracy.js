// `node accuracy.js FILE.tsv [--model FOLDER] [--dtype TYPE]`, by way of `cargo xtask accuracy`: the share of right labels,
// and how far the logits are from the unquantised model's where the folder has recorded ones (`expected.json`).
//
// The file is as in GLUE: a header, then one `sentence<TAB>label` a line, where a label is an index into the model's. A
// model that quantises while it runs is measured in each of the ways that this can be done.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pipeline } from 'fourlane';

const BATCH = 32;
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { model: { type: 'string' }, dtype: { type: 'string' } },
});
const [file] = positionals;
const folder = values.model ?? fileURLToPath(new URL('../../model/', import.meta.url));
const rows = readFileSync(file, 'utf8')
  .split(/\r?\n/)
  .slice(1)
  .filter((line) => line !== '')
  .map((line) => line.split('\t'));
if (rows.length === 0 || rows.some((row) => row.length !== 2)) {
  console.error(`${file} has no \`sentence<TAB>label\` lines under a header, or others between them`);
  process.exit(1);
}
const recordings = join(folder, 'expected.json');
const recorded = existsSync(recordings) ? JSON.parse(readFileSync(recordings, 'utf8')) : [];

const quantises = await measure('as it is', {});
if (quantises) {
  await measure('literal', { literal: true });
  await measure('fast', { accuracy: 'fast' });
}

/** Prints one line; resolves to whether the model has integer products. */
async function measure(name, options) {
  const classify = await pipeline('text-classification', folder, { dtype: values.dtype, ...options });
  const begin = performance.now();
  let right = 0;
  for (let i = 0; i < rows.length; i += BATCH) {
    const part = rows.slice(i, i + BATCH);
    const results = await classify(part.map(([sentence]) => sentence));
    right += results.filter(({ label }, j) => label === classify.labels[part[j][1]]).length;
  }
  const speed = rows.length / ((performance.now() - begin) / 1000);
  const accuracy = ((100 * right) / rows.length).toFixed(2);
  console.log(`${name}: accuracy ${accuracy} % (${right} of ${rows.length}), ${speed.toFixed(0)} sentences/s${await distance(classify)}`);
  const { integerModes } = classify.info();
  await classify.dispose();
  return Object.keys(integerModes).length > 0;
}

/** How far the logits of the recorded sentences are from the unquantised model's. */
async function distance(classify) {
  if (recorded.length === 0) return '';
  const logits = await classify.logits(recorded.map(({ text }) => text));
  const distances = logits.flatMap((row, i) => Array.from(row, (x, j) => Math.abs(x - recorded[i].logits.fp32[j])));
  const mean = distances.reduce((a, b) => a + b, 0) / distances.length;
  return `, logits ${mean.toFixed(4)} from full precision in the mean, ${Math.max(...distances).toFixed(3)} at most`;
}
