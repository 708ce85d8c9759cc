// One text: its scores while it is typed, and a moment later the words that decided.

import { $, element, idle, newest, percent, style } from './dom.js';
import { explain, mask } from './explain.js';
import { onModel, sentence } from './models.js';
import { scale, tone } from './tones.js';

const MOST_LABELS = 6;
const PAUSE = 250; // milliseconds without a key before words are explained and scores are read out

/** `onRun(model, text, milliseconds)` hears of each classification. */
export function start(onRun) {
  const text = $('text');
  let model;
  let hidden; // a promise of what hides words

  const classify = newest(async (text) => {
    const used = model;
    const begin = performance.now();
    const scores = await used.classify(text, { top_k: null });
    const milliseconds = performance.now() - begin;
    if (used !== model) return;
    show(scores, used.classify.labels);
    onRun(used, text, milliseconds);
  });

  const reason = newest(async (text) => {
    const used = model;
    const isStale = () => used !== model || text !== $('text').value;
    const reasons = await explain(used.classify, text, await hidden, isStale);
    if (reasons && !isStale()) showWords(text, reasons, used.classify.labels);
  });

  const later = idle(PAUSE, (text) => {
    reason(text).catch(fail);
    $('announce').textContent = `${$('label').textContent}, ${$('score').textContent}`;
  });

  const update = () => {
    if (!model) return;
    $('why').classList.add('stale');
    classify(text.value).catch(fail);
    later(text.value);
  };

  text.addEventListener('input', update);
  for (const sample of document.querySelectorAll('.samples button')) {
    sample.addEventListener('click', () => {
      text.value = sample.textContent;
      update();
    });
  }

  onModel(async (loaded) => {
    model = loaded;
    hidden = mask(loaded.classify);
    hidden.catch(fail);
    await loaded.classify(text.value).catch(() => {}); // the first run of a length pays for its plan
    update();
  });
}

/** `percent` of the model has come. */
export function loading(percent) {
  $('loading').value = percent;
}

export function fail(error) {
  if (error.code === 'disposed') return; // the answer came too late for a model that is gone
  const result = $('result');
  result.dataset.label = 'error';
  $('label').className = 'tone-bad';
  $('label').textContent = sentence(error);
  $('score').textContent = '';
  $('loading').hidden = true;
  $('announce').textContent = $('label').textContent;
}

function show(scores, labels) {
  const [best] = scores;
  const result = $('result');
  result.dataset.label = best.label;
  $('label').textContent = best.label;
  $('label').className = tone(best.label, labels);
  $('score').textContent = percent(best.score);
  $('loading').hidden = true;

  // Few labels keep their places, so that bars move and rows do not. What is good comes first.
  const first = scale([...labels]);
  const rows = labels.length > MOST_LABELS ? scores.slice(0, MOST_LABELS) : [...scores].sort(byPlace);
  function byPlace(a, b) {
    const place = ({ label }) => (label === first ? -1 : labels.indexOf(label));
    return place(a) - place(b);
  }
  const list = $('labels');
  while (list.children.length > rows.length) list.lastElementChild.remove();
  while (list.children.length < rows.length) list.append(row());
  rows.forEach(({ label, score }, i) => {
    const [name, meter, number] = list.children[i].children;
    name.textContent = label;
    number.textContent = percent(score);
    meter.className = `meter ${tone(label, labels)}`;
    meter.id = label === best.label ? 'meter' : '';
    meter.setAttribute('aria-label', label);
    meter.setAttribute('aria-valuenow', Math.round(100 * score));
    style(meter, { '--score': Math.min(1, Math.max(0, score)) });
  });
}

function row() {
  const meter = element('span', { role: 'meter', 'aria-valuemin': 0, 'aria-valuemax': 100 });
  return element('li', {}, element('span', { class: 'name' }), meter, element('span', { class: 'number' }));
}

/** Weights are shown against the greatest, and one below this is never shown as great. */
const GREAT = 1.5;

function showWords(text, { index, margin, parts }, labels) {
  const label = labels[index];
  const most = Math.max(GREAT, ...parts.map(({ weight }) => Math.abs(weight)));
  const signed = (weight) => `${weight < 0 ? '\u2212' : '+'}${Math.abs(weight).toFixed(1)}`;
  const nodes = [];
  let end = 0;
  for (const part of parts) {
    const strength = Math.abs(part.weight) / most;
    const kind = strength < 0.08 ? 'neither' : part.weight > 0 ? 'for' : 'against';
    const word = element('span', { class: `word ${kind}`, title: signed(part.weight) }, text.slice(part.start, part.end));
    nodes.push(text.slice(end, part.start), style(word, { '--strength': strength }));
    end = part.end;
  }
  const why = $('why');
  why.hidden = parts.length === 0;
  why.className = tone(label, labels);
  $('words').replaceChildren(...nodes, text.slice(end));

  const told = [...parts].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
  const heavy = told.filter(({ weight }) => Math.abs(weight) >= GREAT / 2).slice(0, 3);
  const quote = ({ start, end, weight }) => `“${shorten(text.slice(start, end))}” ${signed(weight)}`;
  const flips = told.find(({ weight }) => weight > margin);
  const other = labels.length === 2 ? `be ${labels[1 - index]}` : 'get another label';
  $('summary').textContent =
    heavy.length === 0
      ? `No single word decides: hide any one of them, and the text is as ${label} as before.`
      : `Hidden one at a time, these words move the log-odds of ${label} most: ${heavy.map(quote).join(', ')}.` +
        (flips ? ` Without “${shorten(text.slice(flips.start, flips.end))}” it would ${other}.` : '');
}

function shorten(words) {
  return words.length > 30 ? `${words.slice(0, 14)}…${words.slice(-14)}` : words;
}
