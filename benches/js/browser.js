// `node browser.js PLAN`, by way of `cargo xtask bench --peers`, or `node browser.js threads`, by way of `--threads`: the
// comparison in one page of headless Chromium.
// Writes what it measured to OUT. The environment says where things are.

import { createReadStream, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const { MODELS, PACKAGES, CHROME_PATH, OUT, NODE_RESULTS } = process.env;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const FOLDERS = {
  ort: here('../node_modules/onnxruntime-web/dist'), packages: PACKAGES, models: MODELS, js: here('.'),
};
const TYPES = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

/** The folders above, to this machine alone, with the headers that onnxruntime's shared memory asks for. */
const server = createServer((request, response) => {
  const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
  if (request.url === '/') {
    response.writeHead(200, { ...headers, 'Content-Type': 'text/html' }).end('<!doctype html><link rel=icon href=data:,><title>bench</title>');
    return;
  }
  const [, folder, ...rest] = normalize(new URL(request.url, 'http://localhost').pathname).split('/');
  const file = `${FOLDERS[folder]}/${rest.join('/')}`;
  const size = Object.hasOwn(FOLDERS, folder) ? statSync(file, { throwIfNoEntry: false })?.size : undefined;
  if (size === undefined) {
    response.writeHead(404, headers).end();
    return;
  }
  const type = TYPES[extname(file)] ?? 'application/octet-stream';
  response.writeHead(200, { ...headers, 'Content-Type': type, 'Content-Length': size });
  createReadStream(file).pipe(response);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

const browser = await chromium.launch({
  executablePath: CHROME_PATH,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
});
try {
  const page = await browser.newPage();
  page.on('console', (message) => console.error(`  ${message.text()}`));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const fast = NODE_RESULTS !== undefined && JSON.parse(readFileSync(NODE_RESULTS, 'utf8')).models.some((row) =>
    row.engines.some(({ name }) => name.endsWith('fast')));
  const measured = await page.evaluate(
    async ([plan, withFast]) => (await import('/js/page.js')).run(plan, withFast),
    [process.argv[2], fast],
  );
  writeFileSync(OUT, JSON.stringify({ engine: `Chromium ${browser.version()}`, ...measured }, null, 1));
} finally {
  await browser.close();
  server.close();
}
