// For every reader: keyboard, screen reader, contrast, light and dark, narrow screens, no motion.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { explained, label, open, screenshot } from './support.js';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Everything on the page that axe knows to be wrong, contrast included. */
async function check(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run());
  const told = violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`));
  assert.deepEqual(told, []);
}

/** With all that can be on it. */
async function fill(page) {
  await page.waitForSelector('#profile:not([hidden])');
  await explained(page);
  await page.click('#sample');
  await page.click('#run');
  await page.waitForSelector('#batch-result:not([hidden])');
  await page.setInputFiles('#files', { name: 'config.json', mimeType: '', buffer: Buffer.from('{}') });
  await page.waitForSelector('#model-error:not([hidden])');
}

for (const colorScheme of ['light', 'dark']) {
  for (const [device, viewport] of Object.entries({ desk: { width: 1280, height: 900 }, phone: { width: 360, height: 740 } })) {
    test(`names, roles, contrast: ${colorScheme}, ${device}`, async () => {
      // Colours are judged at rest.
      const { page, problems, close } = await open('', { colorScheme, viewport, reducedMotion: 'reduce' });
      await page.waitForSelector('#profile:not([hidden])');
      await screenshot(page, `${colorScheme}-${device}`);
      await fill(page);
      await check(page);
      await page.fill('#text', 'A tedious waste of two hours.');
      await label(page, 'NEGATIVE');
      await explained(page);
      await check(page);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width, `the page is ${width} pixels wide`);
      await screenshot(page, `${colorScheme}-${device}-whole`, { fullPage: true });
      assert.deepEqual(problems, []);
      await close();
    });
  }
}

test('nothing is wider than the smallest phone', async () => {
  const { page, close } = await open('', { viewport: { width: 320, height: 568 } });
  await page.fill('#text', `Pneumonoultramicroscopicsilicovolcanoconiosis${'n'.repeat(200)}`);
  await fill(page);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
  await close();
});

test('every control is reached by Tab, and shows that it is', async () => {
  const { page, close } = await open('', { reducedMotion: 'reduce' });
  await fill(page);
  const expected = await page.evaluate(() => {
    window.nameOf = (node) => node.id || node.getAttribute('aria-label') || node.textContent.trim();
    const all = [...document.querySelectorAll('a, button, textarea, select, input, [tabindex="0"]')];
    return all.filter((node) => node.checkVisibility() && !node.disabled).map(window.nameOf);
  });
  await page.focus('.skip'); // the first one
  const reached = [];
  const rings = [];
  for (let i = 0; i < expected.length; i++) {
    if (i > 0) await page.keyboard.press('Tab');
    const [name, ring] = await page.evaluate(() => {
      const node = document.activeElement;
      // A file input is shown by its label.
      const shown = node.type === 'file' ? document.querySelector(`label[for=${node.id}]`) : node;
      return [window.nameOf(node), getComputedStyle(shown).outlineStyle !== 'none'];
    });
    reached.push(name);
    rings.push(ring);
  }
  assert.deepEqual(reached, expected);
  assert.deepEqual(reached.filter((_, i) => i > 0 && !rings[i]), [], 'without a ring'); // the first was reached by script
  await close();
});

test('a screen reader hears the result when typing has paused, not at each key', async () => {
  const { page, close } = await open();
  await explained(page);
  await page.evaluate(() => {
    window.heard = [];
    new MutationObserver(() => window.heard.push(document.querySelector('#announce').textContent)).observe(
      document.querySelector('#announce'), { childList: true, characterData: true, subtree: true },
    );
  });
  assert.equal(await page.getAttribute('#announce', 'role'), 'status');
  await page.fill('#text', '');
  await page.locator('#text').pressSequentially('Tedious, dull and far too long.');
  await label(page, 'NEGATIVE');
  await explained(page);
  const heard = await page.evaluate(() => window.heard);
  assert.match(heard.at(-1), /^NEGATIVE, 9\d\.\d\u00a0%$/);
  assert.ok(heard.length < 10, `${heard.length} announcements of 31 keys`);
  // A finished batch takes the focus to its summary.
  await page.fill('#texts', 'Good.\nBad.');
  await page.focus('#texts');
  await page.keyboard.press('Tab'); // over the file input
  await page.focus('#run');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#batch-summary:focus');
  await close();
});

test('who wants no motion sees none', async () => {
  const durations = async (reducedMotion) => {
    const { page, close } = await open('', { reducedMotion });
    const seconds = await page.evaluate(() => {
      const bar = getComputedStyle(document.querySelector('#meter'), '::before').transitionDuration;
      return [bar, getComputedStyle(document.documentElement).scrollBehavior];
    });
    await close();
    return seconds;
  };
  assert.deepEqual(await durations('no-preference'), ['0.2s', 'smooth']);
  assert.deepEqual(await durations('reduce'), ['0s', 'auto']);
});
