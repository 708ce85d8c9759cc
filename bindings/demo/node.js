// The demo on the command line: `node node.js [TEXT...]`, by way of `cargo xtask demo`.

import { info, pipeline } from '../pkg/index.js';

const SAMPLES = [
  'An absolute masterpiece, beautifully shot and quietly devastating.',
  'The plot makes no sense and the acting is wooden.',
  'The product interface is great but the support was bad.',
];

const classify = await pipeline('sentiment-analysis');
const { variant, reason } = info();
console.log(`engine: ${variant} (${reason})\n`);

const texts = process.argv.length > 2 ? process.argv.slice(2) : SAMPLES;
for (const text of texts) {
  await classify(text); // the first run of a length pays for its plan
  const begin = performance.now();
  const [{ label, score }] = await classify(text);
  const milliseconds = performance.now() - begin;
  console.log(`${label.padEnd(8)}  ${score.toFixed(4)}  ${milliseconds.toFixed(1).padStart(5)} ms  ${text}`);
}
await classify.dispose();
