// Which model classifies: the one that comes with the page, or one of the visitor's own files.
//
// Own files are handed to the package as they are, as an object of `File`s by path; nothing is uploaded or kept.

import { pipeline } from './pkg/index.js';
import { $, element, onDrop } from './dom.js';
import { arrange, which } from './folder.js';

let current; // { classify, name }
let changing; // the load that was asked for last
const listeners = [];

/** Calls `listener({ classify, name })` whenever there is another model. */
export function onModel(listener) {
  listeners.push(listener);
}

/** `?variant=simd128` and `?threads=1` choose the engine, for people who compare. */
function engineOptions() {
  const query = new URLSearchParams(location.search);
  const threads = query.get('threads');
  return { variant: query.get('variant') ?? undefined, threads: threads === null ? undefined : Number(threads) };
}

/** Loads the model that comes with the page. `onPercent` hears how much has come. */
export function loadDefault(onPercent) {
  return load('SST-2 mini', null, {}, onPercent);
}

async function load(name, source, options, onPercent) {
  const ticket = (changing = {});
  const onProgress = ({ status, progress }) => status === 'progress_total' && onPercent(progress);
  const classify = await pipeline('sentiment-analysis', source, { ...engineOptions(), ...options, onProgress });
  if (changing !== ticket) return classify.dispose(); // another was asked for meanwhile
  const old = current?.classify;
  current = { classify, name, isOwn: source !== null };
  for (const listener of listeners) listener(current);
  describe();
  await old?.dispose();
}

function describe() {
  const { classify, name, isOwn } = current;
  const { file, dtype, maxLength, variant } = classify.info();
  $('model-name').replaceChildren(element('strong', {}, name), ` ${file}, ${dtype}`);
  const labels = [...classify.labels];
  const shown = labels.length > 6 ? `${labels.slice(0, 6).join(', ')} and ${labels.length - 6} more` : labels.join(', ');
  const note = `Answers ${shown}. Reads up to ${maxLength} tokens.`;
  $('model-note').textContent = isOwn ? note : `A DistilBERT of 14 million parameters, trained on film reviews. ${note}`;
  $('model-status').textContent = `${name} is ready, on the engine ${variant}.`;
  $('default').hidden = !isOwn;
}

/** Fills the section of the page. */
export function start() {
  $('folder').addEventListener('change', (event) => take(listed(event.target)));
  $('files').addEventListener('change', (event) => take(listed(event.target)));
  onDrop($('drop'), async (transfer) => take(await dropped(transfer)));
  $('default').addEventListener('click', () => show(loadDefault));
}

/** Runs a load and shows how it goes. */
async function show(load) {
  const progress = $('model-progress');
  $('model-error').hidden = true;
  progress.removeAttribute('value');
  progress.hidden = false;
  try {
    await load((percent) => (progress.value = percent));
  } catch (error) {
    $('model-error').textContent = sentence(error);
    $('model-error').hidden = false;
  } finally {
    progress.hidden = true;
  }
}

/** An error of the package, as a sentence. Names of files stay as they are. */
export function sentence({ message }) {
  const isName = /^\S*[._/]\S/.test(message);
  return `${isName ? message[0] : message[0].toUpperCase()}${message.slice(1)}.`;
}

/** `[path, File]` pairs of a file input. */
function listed(input) {
  const files = [...input.files].map((file) => [file.webkitRelativePath || file.name, file]);
  input.value = ''; // the same files can be chosen again
  return files;
}

/** `[path, File]` pairs of what was dropped, folders included. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files].map((file) => [file.name, file]);
  return (await Promise.all(entries.map(walk))).flat();
}

async function walk(entry) {
  if (entry.isFile) return [[entry.fullPath.slice(1), await new Promise((...done) => entry.file(...done))]];
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    const some = await new Promise((...done) => reader.readEntries(...done)); // at most 100 at a time
    if (some.length === 0) return inside.flat();
    inside.push(...(await Promise.all(some.map(walk))));
  }
}

/** Takes files as a model; of several `.onnx` files the visitor may choose. */
function take(pairs) {
  const { name, source, models } = arrange(pairs);
  const select = $('precision');
  select.replaceChildren(...models.map((path) => element('option', {}, path)));
  $('precision-label').hidden = models.length < 2;
  const open = (path) => show((onPercent) => load(name, source, which(path), onPercent));
  select.onchange = () => open(select.value);
  return open(models[0]);
}
