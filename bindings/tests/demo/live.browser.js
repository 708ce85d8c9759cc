// One text at a time: scores while it is typed, the words that decided, and what happens under the hood.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEMO_URL, explained, label, open, screenshot } from './support.js';

for (const variant of ['relaxed', 'simd128']) {
  test(`types a text and reads its label, ${variant}`, async () => {
    const { page, problems, fetched, close } = await open(`?variant=${variant}`);
    await page.fill('#text', '');
    await page.locator('#text').pressSequentially('What a waste of time.');
    assert.ok((await label(page, 'NEGATIVE')) > 90);
    await page.fill('#text', 'A warm, funny, wonderful film.');
    assert.ok((await label(page, 'POSITIVE')) > 90);
    const meters = await page.locator('#labels [role=meter]').evaluateAll((all) =>
      all.map((meter) => [meter.getAttribute('aria-label'), Number(meter.getAttribute('aria-valuenow'))]),
    );
    assert.deepEqual(meters.map(([name]) => name), ['POSITIVE', 'NEGATIVE']);
    assert.equal(meters[0][1] + meters[1][1], 100);
    await page.waitForSelector(`[data-fact=engine]:has-text("${variant}")`);

    const engines = new Set(fetched.map((url) => url.pathname).filter((path) => path.endsWith('.wasm')));
    assert.deepEqual([...engines].map((path) => path.includes(variant)), [true]);
    assert.ok(fetched.every((url) => url.origin === new URL(DEMO_URL).origin));
    assert.deepEqual(problems, []);
    await close();
  });
}

test('the best engine is chosen, and samples work from the keyboard', async () => {
  const { page, problems, close } = await open();
  await page.waitForSelector('[data-fact=engine]:has-text("relaxed")');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(await page.inputValue('#text'), await page.textContent('.samples button:nth-child(2)'));
  await label(page, 'NEGATIVE');
  assert.deepEqual(problems, []);
  await close();
});

test('what is typed fast ends as it would alone', async () => {
  const { page, close } = await open();
  const text = 'It is not that I hated it; I only wish that I had seen another film instead of this one.';
  await page.fill('#text', '');
  await page.locator('#text').pressSequentially(text);
  await explained(page);
  const alone = await page.evaluate(async (text) => {
    const { pipeline } = await import('./pkg/index.js');
    const classify = await pipeline('sentiment-analysis');
    const [{ label, score }] = await classify(text);
    return [label, `${(100 * score).toFixed(1)}\u00a0%`];
  }, text);
  assert.deepEqual([await page.textContent('#label'), await page.textContent('#score')], alone);
  await close();
});

test('texts of every kind leave the page working', async () => {
  const { page, problems, close } = await open();
  const texts = ['\u{1F600} \u4f60\u597d', 'x'.repeat(100_000), '[SEP] [CLS]', '<b>bold</b>', 'word '.repeat(3000), ''];
  for (const text of texts) {
    await page.fill('#text', text);
    if (text === '') await page.waitForSelector('#why', { state: 'hidden' });
    else await explained(page);
    assert.equal((await page.textContent('#words')).trim(), text.trim());
  }
  await page.fill('#text', 'A warm, funny, wonderful film.');
  assert.ok((await label(page, 'POSITIVE')) > 90);
  assert.deepEqual(problems, []);
  await close();
});

test('the words that decided are the ones without which it would be otherwise', async () => {
  const { page, close } = await open();
  await page.fill('#text', 'The plot is thin, but the two leads are a joy to watch.');
  await explained(page);
  const words = await page.locator('#words .word').evaluateAll((all) =>
    all.map((word) => [word.textContent, word.className, Number(word.style.getPropertyValue('--strength'))]),
  );
  assert.equal(words.length, 13);
  assert.deepEqual(words.filter(([, , strength]) => strength === 1).map(([word]) => word), ['joy']);
  const classes = Object.fromEntries(words.map(([word, kind]) => [word, kind]));
  assert.equal(classes.thin, 'word against');
  assert.equal(classes.joy, 'word for');
  assert.equal(classes.plot, 'word neither');
  assert.match(await page.textContent('#summary'), /“joy” \+\d\.\d.* Without “joy” it would be NEGATIVE\.$/);
  // That is true.
  await page.fill('#text', 'The plot is thin, but the two leads are a [MASK] to watch.');
  await label(page, 'NEGATIVE');

  // A label that does not hang on one word, and a text of more words than there are copies.
  await page.fill('#text', 'An absolute masterpiece, wonderful, beautiful, brilliant and great.');
  await explained(page);
  assert.match(await page.textContent('#summary'), /^No single word decides/);
  await page.fill('#text', 'It was good. '.repeat(60));
  await explained(page);
  const parts = await page.locator('#words .word').count();
  assert.ok(parts > 10 && parts < 64, `${parts} parts`);
  await close();
});

test('under the hood: facts, operators and the map of the arena', async () => {
  const { page, close } = await open();
  const seen = () =>
    page.evaluate(() => ({
      facts: Object.fromEntries([...document.querySelectorAll('#facts div')].map((fact) => [fact.dataset.fact, fact.lastChild.textContent])),
      operators: [...document.querySelectorAll('#operators tr')].map((row) => [row.children[0].firstChild.data, row.children[2].textContent]),
      bars: [...document.querySelectorAll('#operators .bar')].map((bar) => bar.getBoundingClientRect().width),
      regions: document.querySelectorAll('#arena rect').length,
      told: document.querySelector('#arena-facts').textContent,
    }));
  await page.waitForSelector('#profile:not([hidden])');
  const short = await seen();
  assert.equal(short.facts.tokens, '17');
  assert.match(short.facts.time, /^\d+(\.\d+)?\u00a0ms$/);
  assert.match(short.facts.memory, /^1\d\u00a0MB$/);
  assert.ok(Number(short.facts.threads) >= 1);
  assert.equal(short.facts.weights, 'q8');
  const names = short.operators.map(([name]) => name);
  for (const name of ['LinearInt8', 'LinearInt8+Gelu', 'AttentionStacked']) assert.ok(names.includes(name), names.join());
  // The longest first, and as wide as there is room; "others" comes last, whatever it takes.
  const widths = short.bars.slice(0, -1);
  assert.deepEqual(widths, [...widths].sort((a, b) => b - a));
  assert.ok(short.regions > 50, `${short.regions} regions`);
  assert.match(short.told, new RegExp(`^${short.regions} values and working memories share \\d+\u00a0KB`));

  await page.hover('#arena .family-linear >> nth=2');
  await page.waitForFunction(() => /^[A-Z]\w+.*: .*, steps? \d+/.test(document.querySelector('#arena-facts').textContent));
  await page.hover('h1');
  assert.equal((await seen()).told, short.told);

  await page.fill('#text', 'A good film. '.repeat(50));
  await page.waitForFunction((told) => document.querySelector('#arena-facts').textContent !== told, short.told);
  const long = await seen();
  assert.ok(Number(long.facts.tokens) > 150);
  await screenshot(page, 'long-text');
  await close();
});
