// The demo page: classifies the text a moment after the last key. `?variant=simd128` picks an engine.

import { info, pipeline } from '../pkg/index.js';

const PAUSE = 80; // milliseconds without a key before the text is classified

const [text, result, label, score, meter, bar, facts] = ['text', 'result', 'label', 'score', 'meter', 'bar', 'facts'].map(
  (id) => document.getElementById(id),
);

function show(name, fraction) {
  const percent = 100 * fraction;
  result.dataset.label = name;
  label.textContent = name;
  score.textContent = `${percent.toFixed(1)} %`;
  meter.setAttribute('aria-valuenow', percent.toFixed(1));
  // A style set by script on one element is no inline style, so the page's policy allows it.
  bar.style.transform = `scaleX(${fraction})`;
}

function fail(error) {
  result.dataset.label = 'error';
  label.textContent = error.message;
  score.textContent = '';
}

async function start() {
  const variant = new URLSearchParams(location.search).get('variant') ?? undefined;
  const classify = await pipeline('sentiment-analysis', null, { variant });

  async function update() {
    const begin = performance.now();
    const [best] = await classify(text.value);
    const milliseconds = performance.now() - begin;
    show(best.label, best.score);
    const { variant, reason } = info();
    facts.textContent = `${milliseconds.toFixed(1)} ms, engine ${variant} (${reason})`;
  }

  let timer;
  text.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => update().catch(fail), PAUSE);
  });
  for (const sample of document.querySelectorAll('.samples button')) {
    sample.addEventListener('click', () => {
      text.value = sample.textContent;
      update().catch(fail);
    });
  }
  await classify(text.value); // the first run pays for the plan; the page shows what typing costs
  await update();
}

start()
  .catch(fail)
  .finally(() => result.setAttribute('aria-busy', 'false'));
