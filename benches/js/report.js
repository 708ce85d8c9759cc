// `node report.js PLAN`: benches/RESULTS.md from what node.js and browser.js measured.

import { readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';

const { NODE_RESULTS, CHROMIUM_RESULTS, VERSIONS, OUT } = process.env;
const quick = process.argv[2] === 'quick';
const node = JSON.parse(readFileSync(NODE_RESULTS, 'utf8'));
const chromium = JSON.parse(readFileSync(CHROMIUM_RESULTS, 'utf8'));
const versions = JSON.parse(VERSIONS);

const ORT = 'onnxruntime-web';
const FIXED = (digits) => (number) => number.toFixed(digits);
const dash = (numbers, show) => (numbers.length > 0 ? numbers.map(show).join(' / ') : 'not measured');
const find = (rows, what) => rows.find((row) => row.what === what);
const engine = (row, name) => row?.engines.find((one) => one.name === name);

/** How many times faster than onnxruntime-web, for each row that was measured. */
function faster(rows, whats, name) {
  return whats.map((what) => engine(find(rows, what), name)?.faster).filter((ratio) => ratio !== undefined);
}

const lengths = (precision) => [16, 32, 128].map((seq) => `${precision} 1x${seq}`);
const speed = (whats, name) => ({
  node: faster(node.models, whats, name),
  chromium: faster(chromium.models, whats, name),
  show: (x) => `${x.toFixed(2)}x`,
});
const ofPeak = (kind, name) => ({
  node: node.products.filter((row) => row.what.startsWith(kind)).map((row) => engine(row, name).ofPeak),
  chromium: [],
  show: FIXED(2),
});
const loads = (field) => {
  const compare = (rows) => rows
    .filter(({ what }) => !what.startsWith('q4'))
    .map((row) => engine(row, ORT)[field] / engine(row, 'fourlane relaxed')[field]);
  return { node: compare(node.loading), chromium: compare(chromium.loading), show: (x) => `${x.toFixed(1)}x` };
};
const rival = (name) => ({
  node: [...node.products, ...node.models]
    .map((row) => engine(row, name)?.ms / engine(row, 'fourlane relaxed')?.ms)
    .filter((ratio) => ratio > 0),
  chromium: [],
  show: (x) => `${x.toFixed(2)}x`,
});
const shortest = ({ node: all, ...rest }) => ({ ...rest, node: all.length > 0 ? [Math.min(...all)] : [] });
const sentences = node.models.find((row) => row.what.startsWith('q8 64 sentences'));

// What is measured, the least that is wanted, what is hoped for, and whether less is better.
const BARS = [
  ['f32 products, 128 rows, relaxed: fraction of the FMA peak', 0.88, 0.95, ofPeak('f32', 'fourlane relaxed')],
  ['the same, simd128, of the same peak', 0.65, 0.78, ofPeak('f32', 'fourlane simd128')],
  ['INT8 products, relaxed, exact: fraction of twice the FMA peak', 0.65, 0.85, ofPeak('int8', 'fourlane relaxed')],
  ['the same, simd128', 0.65, 0.85, ofPeak('int8', 'fourlane simd128')],
  ['distilbert-base f32, relaxed, 16 / 32 / 128 tokens', 1.9, 2.3, speed(lengths('f32'), 'fourlane relaxed')],
  ['the same, simd128', 1.4, 1.7, speed(lengths('f32'), 'fourlane simd128')],
  ['distilbert-base q8, exact, relaxed, 16 / 32 / 128 tokens', 1.5, 1.9, speed(lengths('q8'), 'fourlane relaxed')],
  ['the same, simd128', 1.5, 1.9, speed(lengths('q8'), 'fourlane simd128')],
  ["the same, relaxed, `accuracy: 'fast'`", 1.8, 2.4, speed(lengths('q8'), 'fourlane relaxed, fast')],
  ['12 tokens padded to 128, f32 / q8, through `fourlane/ort`', 10, 15, speed(['f32 padded', 'q8 padded'], 'fourlane relaxed')],
  ['64 sentences of SST-2 in one call, q8, against one padded batch', 3.5, 5, {
    node: sentences ? [engine(sentences, 'fourlane relaxed').faster] : [], chromium: [], show: (x) => `${x.toFixed(2)}x`,
  }],
  ['load, cold, f32 / q8', 4, 10, loads('cold')],
  ['load, warm, f32 / q8', 2, 4, loads('warm')],
  ['memory of WebAssembly after load and 128 tokens, over the file, f32 / q8 / q4', 1.25, 1.1, {
    node: node.loading.map((row) => engine(row, 'fourlane relaxed').memory / row.size), chromium: [], show: FIXED(2),
  }, true],
  ['rten, relaxed, the closest shared case', 1.3, 2, shortest(rival('rten'))],
  ['tract, relaxed, the closest shared case', 1.3, 2, shortest(rival('tract'))],
];

function barRow([what, bar, aim, { node: here, chromium: there, show }, less = false]) {
  const meets = (limit) => here.length > 0 && here.every((x) => (less ? x <= limit : x >= limit));
  const verdict = here.length === 0 ? '' : meets(aim) ? 'aim' : meets(bar) ? 'bar' : 'below';
  return `| ${what} | ${show(bar)} | ${show(aim)} | ${dash(here, show)} | ${dash(there, show)} | ${verdict} |`;
}

function modelTable(rows) {
  const names = [...new Set(rows.flatMap((row) => row.engines.map(({ name }) => name)))];
  const cell = (row, name) => {
    const one = engine(row, name);
    if (one === undefined) return '';
    return name === ORT ? one.ms.toFixed(1) : `${one.ms.toFixed(1)} (${one.faster.toFixed(2)}x)`;
  };
  return [
    `| | ${names.join(' | ')} | rounds | logits apart |`,
    `|---|${names.map(() => '---:|').join('')}---:|---:|`,
    ...rows.map((row) => `| ${row.what} | ${names.map((name) => cell(row, name)).join(' | ')} | ${row.rounds} | ${row.apart.toPrecision(1)} |`),
  ];
}

function productTable(rows) {
  const names = [...new Set(rows.flatMap((row) => row.engines.map(({ name }) => name)))];
  const cell = (row, name) => {
    const one = engine(row, name);
    return one === undefined ? '' : `${(one.rate / 1e9).toFixed(1)} (${one.ofPeak.toFixed(2)})`;
  };
  return [
    `| m x n x k | ${names.join(' | ')} |`,
    `|---|${names.map(() => '---:|').join('')}`,
    ...rows.map((row) => `| ${row.what} | ${names.map((name) => cell(row, name)).join(' | ')} |`),
  ];
}

function loadTable(rows, sizes) {
  return [
    '| | engine | cold, ms | warm, ms | memory, MB | over the file |',
    '|---|---|---:|---:|---:|---:|',
    ...rows.flatMap((row, i) => row.engines.map(({ name, cold, warm, memory }) =>
      `| ${row.what} | ${name} | ${cold.toFixed(0)} | ${warm.toFixed(0)} | ${(memory / 1e6).toFixed(0)} | ${(memory / sizes[i]).toFixed(2)} |`)),
  ];
}

const sizes = node.loading.map((row) => row.size);
const lines = [
  '# Results',
  '',
  `Written by \`cargo xtask bench --peers${quick ? ' --quick' : ''}\` on ${new Date().toISOString().slice(0, 10)}; not by hand.`,
  '',
  `- machine: ${node.cpu}, ${versions.cores} cores; load average of the last 15 minutes: ${loadavg()[2].toFixed(1)}`,
  `- engines: Node ${node.node} (V8 ${node.v8}), ${chromium.engine}`,
  `- fourlane ${versions.fourlane} (${versions.commit}), ${versions.rustc}`,
  `- ${ORT} ${versions.ort}, rten ${versions.rten}, tract ${versions.tract}, each with one thread; rten and tract as wasm32-wasip1 with relaxed SIMD`,
  '- the models are DistilBERT at its real size, 6 layers of 768, from `cargo xtask bench --models`',
  '',
  'All engines take turns in one process, or one page; figures are medians, ratios are medians of the ratios of each turn.',
  'Before anything is timed the results of all are compared; how far apart they were is in the tables. Integers agree exactly.',
  '',
  '## What is wanted, and what is',
  '',
  `Times are against ${ORT} on the same file unless said otherwise.`,
  '',
  '| | bar | aim | Node | Chromium | meets |',
  '|---|---:|---:|---:|---:|---|',
  ...BARS.map(barRow),
  '',
  '## Whole models in Node, milliseconds',
  '',
  ...modelTable(node.models),
  '',
  '## Whole models in Chromium, milliseconds',
  '',
  ...modelTable(chromium.models),
  '',
  '## Products of matrices in Node, G operations/s (fraction of peak)',
  '',
  'fourlane: the kernel as a layer calls it. Others: a model of one operator, weights packed at load. Fractions of',
  'integer products are of twice the FMA peak: of a loop in registers, of as many operations, which takes its turns with',
  'the others.',
  '',
  ...productTable(node.products),
  '',
  '## Loading in Node: from bytes in hand to a session',
  '',
  'Cold: in a fresh process, the start of the runtime included. Warm: a second session in it. Memory: of WebAssembly,',
  'after a run of 128 tokens.',
  '',
  ...loadTable(node.loading, sizes),
  '',
  '## Loading in Chromium, in fresh workers',
  '',
  ...loadTable(chromium.loading, sizes),
  '',
  ...(node.skipped.length > 0 ? ['## Not compared', '', ...node.skipped.map((why) => `- ${why.replaceAll('\n', ' ')}`), ''] : []),
];
writeFileSync(OUT, lines.join('\n'));
