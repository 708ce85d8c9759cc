// A browser for the tests of the demo page. `cargo xtask test browser` says where it and the page are.

import { after, before } from 'node:test';
import { launch } from '../js/chromium.js';

export const { DEMO_URL, SCREENSHOTS } = process.env;

let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

/**
 * Opens the page in a profile of its own and waits for the model: the page, what went wrong on its console, and the
 * URLs that were asked for.
 */
export async function open(query = '', { url = DEMO_URL, ...options } = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const [problems, fetched] = [[], []];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && problems.push(message.text()));
  context.on('request', (request) => fetched.push(new URL(request.url())));
  await page.goto(url + query);
  await loaded(page);
  return { page, problems, fetched, close: () => context.close() };
}

export async function loaded(page) {
  await page.waitForSelector('#result[aria-busy=false]');
  await page.waitForSelector('#result[data-label]');
}

/** Waits until the text has this label; gives its score in percent. */
export async function label(page, name) {
  await page.waitForSelector(`#result[data-label=${name}]`);
  return Number(await page.getAttribute('#meter', 'aria-valuenow'));
}

/** Waits until the words of the text as it is now are explained. */
export async function explained(page) {
  await page.waitForSelector('#why:not(.stale)');
}

export async function screenshot(page, name, options) {
  if (!SCREENSHOTS) return;
  await page.evaluate(() => document.activeElement?.blur());
  await page.screenshot({ path: `${SCREENSHOTS}/demo-${name}.png`, ...options });
}
