// Models of the visitor: a folder, files, dropped ones; damaged ones; and back to the one that comes with the page.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { label, open } from './support.js';

const FOLDER = new URL('../../model/', import.meta.url);

async function files(changes = {}) {
  const names = ['config.json', 'tokenizer.json', 'onnx/model_quantized.onnx'];
  const all = await Promise.all(names.map(async (name) => [name, await readFile(new URL(name, FOLDER))]));
  return Object.entries({ ...Object.fromEntries(all), ...changes })
    .filter(([, buffer]) => buffer)
    .map(([name, buffer]) => ({ name: name.replace('onnx/', ''), mimeType: '', buffer }));
}

async function relabelled(labels) {
  const config = JSON.parse(await readFile(new URL('config.json', FOLDER)));
  const id2label = Object.fromEntries(labels.map((label, i) => [i, label]));
  return Buffer.from(JSON.stringify({ ...config, id2label }));
}

test('a folder', async () => {
  const { page, problems, fetched, close } = await open();
  await page.waitForSelector('#model-name:has-text("SST-2 mini")');
  const before = fetched.length;
  await page.setInputFiles('#folder', fileURLToPath(FOLDER));
  await page.waitForSelector('#model-name:has-text("model onnx/model_quantized.onnx, q8")');
  await page.fill('#text', 'A warm, funny, wonderful film.');
  assert.ok((await label(page, 'POSITIVE')) > 90);
  const uploaded = fetched.slice(before).map((url) => url.pathname).filter((path) => /onnx|json$/.test(path));
  assert.deepEqual(uploaded, []);
  await page.click('#default');
  await page.waitForSelector('#model-name:has-text("SST-2 mini")');
  assert.ok(await page.isHidden('#default'));
  await page.fill('#text', 'Tedious.');
  await label(page, 'NEGATIVE');
  assert.deepEqual(problems, []);
  await close();
});

test('files with labels of their own', async () => {
  const { page, problems, close } = await open();
  await page.setInputFiles('#files', await files({ 'config.json': await relabelled(['meh', 'wow']) }));
  await page.waitForSelector('#model-note:has-text("Answers meh, wow. Reads up to 512 tokens.")');
  await page.fill('#text', 'A warm, funny, wonderful film.');
  assert.ok((await label(page, 'wow')) > 90);
  // Many texts go to that model, too.
  await page.fill('#texts', 'Tedious.\nWonderful.');
  await page.click('#run');
  await page.waitForSelector('#batch-result:not([hidden])');
  assert.deepEqual(await page.locator('#rows .chip').allTextContents(), ['meh', 'wow']);
  assert.deepEqual(problems, []);
  await close();
});

test('several model files: which one is the visitor’s choice', async () => {
  const { page, close } = await open();
  const model = await readFile(new URL('onnx/model_quantized.onnx', FOLDER));
  await page.setInputFiles('#files', await files({ 'mine_int8.onnx': model, 'broken.onnx': model.subarray(0, 1000) }));
  // The smallest is tried first.
  await page.waitForSelector('#model-error:not([hidden])');
  assert.deepEqual(await page.locator('#precision option').allTextContents(), ['broken.onnx', 'model_quantized.onnx', 'mine_int8.onnx']);
  await page.selectOption('#precision', 'mine_int8.onnx');
  await page.waitForSelector('#model-name:has-text("mine_int8.onnx, int8")');
  assert.ok(await page.isHidden('#model-error'));
  await close();
});

test('files that are no model leave the old one at work', async () => {
  const { page, close } = await open();
  const cases = [
    [{ 'tokenizer.json': undefined }, /^The object of files has no tokenizer\.json or vocab\.txt\.$/],
    [{ 'onnx/model_quantized.onnx': undefined }, /has no model file/],
    [{ 'onnx/model_quantized.onnx': Buffer.from('<!doctype html>') }, /^This is not an ONNX file: /],
    [{ 'config.json': Buffer.from('{') }, /^config\.json is not as expected/],
  ];
  for (const [changes, message] of cases) {
    await page.setInputFiles('#files', await files(changes));
    await page.waitForFunction(
      ([pattern]) => new RegExp(pattern).test(document.querySelector('#model-error:not([hidden])')?.textContent ?? ''),
      [message.source],
    );
    await page.waitForSelector('#model-progress', { state: 'hidden' });
  }
  await page.fill('#text', 'A warm, funny, wonderful film.');
  await label(page, 'POSITIVE');
  assert.match(await page.textContent('#model-name'), /^SST-2 mini/);
  await close();
});

test('dropped files', async () => {
  const { page, close } = await open();
  const contents = (await files({ 'config.json': await relabelled(['no', 'yes']) })).map(({ name, buffer }) => [name, buffer.toString('base64')]);
  const transfer = await page.evaluateHandle((contents) => {
    const transfer = new DataTransfer();
    for (const [name, base64] of contents) {
      transfer.items.add(new File([Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))], name));
    }
    return transfer;
  }, contents);
  await page.dispatchEvent('#drop', 'drop', { dataTransfer: transfer });
  await page.waitForSelector('#model-note:has-text("Answers no, yes.")');
  await close();
});
