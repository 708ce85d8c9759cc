// Under the hood: what runs, how long it takes, where the time goes and where the values live.

import { $, bytes, count, duration, element, idle, newest, style } from './dom.js';
import { drawArena } from './arena.js';
import { onModel } from './models.js';
import { byOperator, family } from './operators.js';

const PAUSE = 600; // milliseconds without a key before the text is profiled
const BUDGET = 60; // milliseconds of profiling: short runs are repeated, since clocks are coarse
const MOST_ROWS = 8;

/** Gives `run(model, text, milliseconds)`, to be called after each classification. */
export function start() {
  const profile = newest(async ({ model, text, milliseconds }) => {
    // The text once more, now that the engine has seen its length: what typing on would cost.
    const begin = performance.now();
    await model.classify(text);
    const settled = performance.now() - begin;
    const runs = Math.min(50, Math.max(3, Math.round(BUDGET / settled)));
    const told = await model.classify.profile(text, { runs });
    facts({ model, text, milliseconds: Math.min(settled, milliseconds) });
    showOperators(told.steps);
    drawArena(told);
    $('profile').hidden = false;
  });
  // Not worth a word to the visitor: the model was replaced, or the engine was built without profiles.
  const later = idle(PAUSE, (run) => profile(run).catch(() => {}));
  const facts = newest(async (run) => showFacts(run).catch(() => {}));
  onModel(() => ($('profile').hidden = true));

  return (model, text, milliseconds) => {
    facts({ model, text, milliseconds });
    later({ model, text, milliseconds });
  };
}

async function showFacts({ model, text, milliseconds }) {
  const { classify } = model;
  const [tokens, info] = [(await classify.tokenize(text)).length, classify.info()];
  const facts = {
    Time: duration(milliseconds),
    Tokens: count(tokens),
    Engine: info.variant,
    Threads: String(info.threads ?? 1),
    Weights: info.dtype,
    Memory: bytes(info.memoryBytes),
  };
  const list = $('facts');
  list.title = info.reason ?? '';
  list.replaceChildren(
    ...Object.entries(facts).map(([name, value]) =>
      element('div', { 'data-fact': name.toLowerCase() }, element('dt', {}, name), element('dd', {}, value)),
    ),
  );
}

function showOperators(steps) {
  const all = byOperator(steps);
  const rest = all.slice(MOST_ROWS - 1);
  const rows = all.length > MOST_ROWS ? [...all.slice(0, MOST_ROWS - 1), ['others', ...sum(rest)]] : all;
  const total = sum(all)[1] || 1;
  const longest = Math.max(...rows.map(([, , time]) => time)) || 1;
  $('operators').replaceChildren(
    ...rows.map(([operator, steps, time]) => {
      const bar = style(element('span', { class: `bar ${family(operator)}` }), { '--share': time / longest });
      const share = element('span', { class: 'hidden' }, `${Math.round((100 * time) / total)} percent`);
      const name = element('th', { scope: 'row', title: `${operator}, ${steps} steps` }, operator);
      name.append(element('span', { class: 'times' }, ` ×${steps}`));
      return element('tr', {}, name, element('td', {}, bar, share), element('td', { class: 'number' }, duration(time)));
    }),
  );
}

function sum(rows) {
  return [rows.reduce((sum, row) => sum + row[1], 0), rows.reduce((sum, row) => sum + row[2], 0)];
}
