// Many texts: pasted, chosen and dropped; progress, histogram, table, CSV.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parse } from '../../demo/csv.js';
import { open, screenshot } from './support.js';

const REVIEWS = 'id;stars;review\n1;5;"A joy; from start to finish."\n2;1;"He said ""boring""\nand left."\n3;4;Wonderful.\n\n';

async function results(page) {
  await page.waitForSelector('#batch-result:not([hidden])');
  return page.locator('#rows tr').evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)));
}

async function downloaded(page) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download')]);
  return [download.suggestedFilename(), await readFile(await download.path(), 'utf8')];
}

/** Drops files on an element, as a hand would. */
async function drop(page, selector, name, content) {
  const transfer = await page.evaluateHandle(([name, content]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([content], name));
    return transfer;
  }, [name, content]);
  await page.dispatchEvent(selector, 'dragenter', { dataTransfer: transfer });
  assert.ok(await page.locator(`${selector}.over`).count(), 'the place says that it takes files');
  await page.dispatchEvent(selector, 'drop', { dataTransfer: transfer });
  assert.equal(await page.locator(`${selector}.over`).count(), 0);
}

test('pasted lines are classified as each would be alone', async () => {
  const { page, problems, close } = await open();
  assert.ok(await page.isDisabled('#run'));
  const texts = ['A triumph, warm and wise.', 'Tedious, and far too long.', '"Quoted", he said.'];
  await page.fill('#texts', `${texts.join('\n')}\n\n`);
  assert.equal(await page.textContent('#run'), 'Classify 3 texts');
  await page.click('#run');
  const rows = await results(page);
  const alone = await page.evaluate(async (texts) => {
    const { pipeline } = await import('./pkg/index.js');
    const classify = await pipeline('sentiment-analysis');
    return (await classify(texts)).map(({ label, score }) => [label, `${(100 * score).toFixed(1)}\u00a0%`]);
  }, texts);
  assert.deepEqual(rows, texts.map((text, i) => [String(i + 1), ...alone[i], text]));
  assert.deepEqual(alone.slice(0, 2).map(([label]) => label), ['POSITIVE', 'NEGATIVE']);
  assert.match(await page.textContent('#batch-summary'), /^3 texts in .*, \d+ a second: /);
  assert.deepEqual(problems, []);
  await close();
});

test('a dropped CSV: columns, labels as a download', async () => {
  const { page, problems, close } = await open();
  await drop(page, '#batch', 'reviews.csv', REVIEWS);
  await page.waitForSelector('#column-label:not([hidden])');
  assert.equal(await page.locator('#column').evaluate((select) => select.selectedOptions[0].textContent), 'review');
  assert.equal(await page.inputValue('#texts'), REVIEWS);
  await page.keyboard.press('Enter'); // the button has the focus
  const rows = await results(page);
  assert.deepEqual(rows.map((row) => row[3]), ['A joy; from start to finish.', 'He said "boring"\nand left.', 'Wonderful.']);
  const [name, csv] = await downloaded(page);
  assert.equal(name, 'reviews-labels.csv');
  const [header, ...records] = parse(csv, ',');
  assert.deepEqual(header, ['id', 'stars', 'review', 'label', 'score']);
  assert.deepEqual(records.map((record) => record[3]), ['POSITIVE', 'NEGATIVE', 'POSITIVE']);
  assert.equal(records[1][2], 'He said "boring"\nand left.');
  records.forEach((record, i) => assert.equal(`${(100 * record[4]).toFixed(1)}\u00a0%`, rows[i][2]));
  // Another column is another run.
  await page.selectOption('#column', { label: 'id' });
  await page.click('#run');
  await page.waitForFunction(() => document.querySelector('#rows td:last-child')?.textContent === '1');
  assert.deepEqual(problems, []);
  await close();
});

test('sample reviews: histogram, pages, order', async () => {
  const { page, problems, close } = await open('', { viewport: { width: 1280, height: 900 } });
  await page.click('#sample');
  await page.waitForSelector('#run:has-text("Classify 60 texts")');
  await page.click('#run');
  await results(page);
  const bars = await page.locator('#histogram title').allTextContents();
  assert.equal(bars.reduce((sum, bar) => sum + Number(/: (\d+) /.exec(bar)[1]), 0), 60);
  // What is left of the middle is negative.
  assert.ok(bars.every((bar) => bar.includes('NEGATIVE') === Number.parseFloat(bar) < 0.5), bars.join('; '));
  assert.match(await page.getAttribute('#histogram svg', 'aria-label'), /^Histogram, score of POSITIVE: \d+ from 0\.00/);
  await screenshot(page, 'batch', { fullPage: true });

  assert.equal(await page.textContent('#page'), 'Page 1 of 3');
  assert.ok(await page.isDisabled('#previous'));
  await page.click('#next');
  await page.click('#next');
  assert.ok(await page.isDisabled('#next'));
  assert.deepEqual((await results(page)).map(([number]) => number), Array.from({ length: 10 }, (_, i) => String(51 + i)));

  const scores = async () => (await results(page)).map((row) => Number.parseFloat(row[2]));
  await page.click('[data-sort=score]');
  const ascending = await scores();
  assert.deepEqual(ascending, [...ascending].sort((a, b) => a - b));
  assert.equal(await page.textContent('#page'), 'Page 1 of 3');
  await page.click('[data-sort=score]');
  const descending = await scores();
  assert.deepEqual(descending, [...descending].sort((a, b) => b - a));
  assert.ok(descending[0] > ascending[0]);
  assert.equal(await page.locator('[aria-sort]').getAttribute('aria-sort'), 'descending');
  // The download keeps the order of the file.
  const records = parse((await downloaded(page))[1], ',').slice(1);
  const sample = parse(await readFile(new URL('../../demo/sample.csv', import.meta.url), 'utf8'), ',').slice(1);
  assert.deepEqual(records.map((record) => record.slice(0, 2)), sample);
  assert.deepEqual(problems, []);
  await close();
});

test('thousands of texts: progress that grows, and a stop that keeps what is done', async () => {
  const { page, close } = await open();
  const lines = Array.from({ length: 5000 }, (_, i) => `Film number ${i} was ${i % 2 ? 'good' : 'bad'}.`);
  await page.setInputFiles('#file', { name: 'films.txt', mimeType: 'text/plain', buffer: Buffer.from(lines.join('\n')) });
  await page.waitForSelector('#run:has-text("Classify 5,000 texts")');
  assert.ok((await page.inputValue('#texts')).length < 25_000, 'the box shows the beginning');
  await page.click('#run');
  const seen = [];
  for (let i = 0; i < 3; i++) {
    await page.waitForFunction((least) => document.querySelector('#done').value > least, seen.at(-1) ?? 0);
    seen.push(await page.locator('#done').evaluate((done) => done.value));
  }
  assert.equal(await page.locator('#done').evaluate((done) => done.max), 5000);
  assert.match(await page.textContent('#rate'), /^[\d,]+ of 5,000, [\d,]+ a second$/);
  // The page answers meanwhile.
  await page.fill('#text', 'A warm, funny, wonderful film.');
  await page.waitForSelector('#result[data-label=POSITIVE]');
  await page.click('#stop');
  await page.waitForSelector('#batch-result:not([hidden])');
  const [, done, left] = /^([\d,]+) texts in .*, stopped before the other ([\d,]+):/
    .exec(await page.textContent('#batch-summary'))
    .map((number) => Number(number.replaceAll(',', '')));
  assert.equal(done + left, 5000);
  assert.ok(done >= seen.at(-1));
  const [name, csv] = await downloaded(page);
  assert.equal(name, 'films-labels.csv');
  assert.equal(parse(csv, ',').length, done + 1);
  await close();
});

test('files that are none', async () => {
  const { page, close } = await open();
  await drop(page, '#batch', 'image.png', '\u0089PNG\u0000\u0001');
  await page.waitForSelector('#batch-error:not([hidden])');
  assert.equal(await page.textContent('#batch-error'), 'image.png is not a text file; CSV, TSV and plain text are read here, in UTF-8.');
  await page.fill('#texts', 'Good.');
  assert.ok(await page.isHidden('#batch-error'));
  await close();
});
