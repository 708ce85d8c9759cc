// Many texts: pasted or dropped, classified some at a time, shown as a histogram and a table, given back as CSV.

import { $, count, counted, duration, element, onDrop, percent } from './dom.js';
import { line, read } from './csv.js';
import { drawHistogram } from './histogram.js';
import { onModel, sentence } from './models.js';
import { tone } from './tones.js';

const PAGE = 25; // rows of the table
const AT_ONCE = 32; // texts of a call, between which the page is told
const BIGGEST = 100e6; // bytes of a file: what a page can hold several times over

let model;
let table; // of csv.js: what is in the box
let loaded; // name of the file that the box shows a part of
let results = []; // { number, row, text, label, score }
let labels = [];
let page = 0;
let sorted = { by: 'number', down: false };
let stopping;

export function start() {
  const texts = $('texts');
  texts.addEventListener('input', () => take(texts.value));
  $('file').addEventListener('change', ({ target }) => {
    if (target.files[0]) open(target.files[0]);
    target.value = ''; // the same file can be chosen again
  });
  onDrop($('batch'), ({ files }) => files[0] && open(files[0]));
  $('sample').addEventListener('click', async () => open(new File([await (await fetch('sample.csv')).blob()], 'sample.csv')));
  $('column').addEventListener('change', ready);
  $('batch-form').addEventListener('submit', (event) => {
    event.preventDefault();
    run().catch(fail);
  });
  $('stop').addEventListener('click', () => stopping?.abort());
  $('previous').addEventListener('click', () => turn(page - 1));
  $('next').addEventListener('click', () => turn(page + 1));
  $('download').addEventListener('click', download);
  for (const button of document.querySelectorAll('[data-sort]')) {
    button.addEventListener('click', () => sort(button.dataset.sort));
  }
  onModel((loaded) => {
    stopping?.abort();
    model = loaded;
    ready();
  });
  take(texts.value); // which browsers keep over a reload
}

function fail(error) {
  $('batch-error').textContent = sentence(error);
  $('batch-error').hidden = false;
}

async function open(file) {
  if (file.size > BIGGEST) return fail(new Error(`${file.name} has ${Math.round(file.size / 1e6)} MB, which is more than a page can take; split it`));
  const content = await file.text().catch((error) => fail(new Error(`${file.name} cannot be read: ${error.message}`)));
  if (content === undefined) return undefined;
  if (content.includes('\0')) return fail(new Error(`${file.name} is not a text file; CSV, TSV and plain text are read here, in UTF-8`));
  loaded = file.name;
  // Of a long file the box shows the beginning: it is for looking, and slow with megabytes.
  $('texts').value = content.length > 20_000 ? `${content.slice(0, 20_000)}\n…` : content;
  take(content, file.name);
  $('run').focus();
  return undefined;
}

function take(content, name) {
  loaded = name;
  $('batch-error').hidden = true;
  table = read(content);
  const select = $('column');
  select.replaceChildren(...table.columns.map((column, i) => element('option', { value: i }, column)));
  select.value = table.text;
  $('column-label').hidden = table.columns.length < 2;
  ready();
}

function chosen() {
  const column = Number($('column').value);
  return table.rows.filter((row) => row[column].trim() !== '').map((row, i) => ({ number: i + 1, row, text: row[column] }));
}

function ready() {
  const number = table ? chosen().length : 0;
  $('run').disabled = number === 0 || !model || Boolean(stopping);
  $('run').textContent = number > 0 ? `Classify ${counted(number, 'text')}` : 'Classify';
}

async function run() {
  const { classify } = model;
  const all = chosen();
  const done = $('done');
  stopping = new AbortController();
  const { signal } = stopping;
  ready();
  labels = [...classify.labels];
  results = [];
  $('batch-error').hidden = true;
  $('batch-result').hidden = true;
  $('batch-progress').hidden = false;
  done.max = all.length;
  done.value = 0;
  const begin = performance.now();
  try {
    for (let i = 0; i < all.length && !signal.aborted; i += AT_ONCE) {
      const some = all.slice(i, i + AT_ONCE);
      const answers = await classify(some.map(({ text }) => text));
      some.forEach((item, j) => results.push({ ...item, ...answers[j] }));
      done.value = results.length;
      const rate = (1000 * results.length) / (performance.now() - begin);
      $('rate').textContent = `${count(results.length)} of ${count(all.length)}, ${count(Math.round(rate))} a second`;
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    if (!signal.aborted) fail(error);
  } finally {
    stopping = undefined;
    $('batch-progress').hidden = true;
    ready();
  }
  if (results.length > 0) show(performance.now() - begin, all.length);
}

function show(milliseconds, asked) {
  const sums = labels.map((label) => [label, results.filter((result) => result.label === label).length]);
  const most = sums.filter(([, number]) => number > 0).sort((a, b) => b[1] - a[1]).slice(0, 6);
  const shares = most.map(([label, number]) => `${count(number)}\u00a0${label}`).join(', ');
  const stopped = results.length < asked ? `, stopped before the other ${count(asked - results.length)}` : '';
  const rate = count(Math.round((1000 * results.length) / milliseconds));
  $('batch-summary').textContent =
    `${counted(results.length, 'text')} in ${duration(milliseconds)}, ${rate} a second${stopped}: ${shares}.`;
  drawHistogram($('histogram'), results, labels);
  $('batch-result').hidden = false;
  sorted = { by: 'number', down: true };
  sort('number');
  $('batch-summary').focus();
}

const KEYS = { number: ({ number }) => number, label: ({ label }) => labels.indexOf(label), score: ({ score }) => score };

/** By a column; by the same again, the other way round. */
function sort(by) {
  sorted = { by, down: sorted.by === by && !sorted.down };
  const [key, sign] = [KEYS[by], sorted.down ? -1 : 1];
  results.sort((a, b) => sign * (key(a) - key(b)) || a.number - b.number);
  for (const button of document.querySelectorAll('[data-sort]')) {
    const direction = sorted.down ? 'descending' : 'ascending';
    if (button.dataset.sort === by) button.parentElement.setAttribute('aria-sort', direction);
    else button.parentElement.removeAttribute('aria-sort');
  }
  turn(0);
}

function turn(to) {
  const pages = Math.ceil(results.length / PAGE);
  page = Math.min(Math.max(to, 0), pages - 1);
  const rows = results.slice(page * PAGE, (page + 1) * PAGE).map(({ number, label, score, text }) =>
    element(
      'tr', {}, element('td', { class: 'number' }, count(number)),
      element('td', {}, element('span', { class: `chip ${tone(label, labels)}` }, label)),
      element('td', { class: 'number' }, percent(score)), element('td', {}, text.length > 300 ? `${text.slice(0, 300)}…` : text),
    ),
  );
  $('rows').replaceChildren(...rows);
  $('page').textContent = `Page ${page + 1} of ${pages}`;
  $('previous').disabled = page === 0;
  $('next').disabled = page === pages - 1;
}

/** The columns as they came, and two more, in the order in which they came. */
function download() {
  const lines = [line([...table.columns, 'label', 'score'])];
  const inOrder = [...results].sort((a, b) => a.number - b.number);
  for (const { row, label, score } of inOrder) lines.push(line([...row, label, score.toFixed(6)]));
  const url = URL.createObjectURL(new Blob(lines, { type: 'text/csv' }));
  const name = (loaded ?? 'texts').replace(/\.\w+$/, '');
  element('a', { href: url, download: `${name}-labels.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
