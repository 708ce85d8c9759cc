// The service worker: answers for the files of this page, and for nothing else.
//
// A file is kept under its address and its digest, so a new version of the page fetches what has changed and nothing
// that has not. Since the digests are part of this script, a browser sees by its bytes that there is a new version. That
// one is installed as a whole, beside the old one, or not at all.

// By path. `cargo xtask demo` puts them here.
const FILES = {};

/** Fetched when the page asks: of the engines it needs one, and the model it should not wait for twice. */
const LARGE = /\.(wasm|onnx)$/;

const { scope } = self.registration;
const CACHE = `fourlane ${scope}`; // other pages of the same origin have their own

const address = (path) => new URL(path === 'index.html' ? '.' : path, scope).href;
const key = (path) => `${address(path)}?${encodeURIComponent(FILES[path])}`;
const pending = new Set(); // files on their way into the cache

self.addEventListener('install', (event) => event.waitUntil(install()));

async function install() {
  const cache = await caches.open(CACHE);
  const kept = (await cache.keys()).map(({ url }) => url);
  const isOld = (path) => kept.some((url) => url.startsWith(`${address(path)}?`));
  const missing = Object.keys(FILES).filter((path) => !kept.includes(key(path)) && (!LARGE.test(path) || isOld(path)));
  await Promise.all(
    missing.map(async (path) => {
      const response = await fetch(address(path), { cache: 'no-cache', integrity: FILES[path] });
      if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
      await cache.put(key(path), response);
    }),
  );
}

self.addEventListener('activate', (event) => event.waitUntil(activate()));

async function activate() {
  const cache = await caches.open(CACHE);
  const wanted = new Set(Object.keys(FILES).map(key));
  const old = (await cache.keys()).filter(({ url }) => !wanted.has(url));
  await Promise.all(old.map((request) => cache.delete(request)));
  await self.clients.claim();
}

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  url.search = url.hash = '';
  if (event.request.method !== 'GET' || !url.href.startsWith(scope)) return;
  const path = decodeURIComponent(url.href.slice(scope.length)) || 'index.html';
  if (Object.hasOwn(FILES, path)) event.respondWith(answer(path, event));
});

async function answer(path, event) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(key(path), { ignoreVary: true });
  if (kept) return isolated(kept);
  const response = await fetch(address(path), { cache: 'no-cache' });
  if (response.ok) {
    const keeping = keep(path, response.clone());
    pending.add(keeping);
    event.waitUntil(keeping.finally(() => pending.delete(keeping)));
  }
  return isolated(response);
}

/** Into the cache with it, if it is the file that this version means. */
async function keep(path, response) {
  const { headers } = response;
  const bytes = await response.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  if (`sha256-${btoa(String.fromCharCode(...digest))}` !== FILES[path]) return;
  const cache = await caches.open(CACHE);
  await cache.put(key(path), new Response(bytes, { headers }));
  // A first visit may not be isolated; the next one is, and asks for the engine with threads.
  const twin = path.replace(/(?<!-threads)\.wasm$/, '-threads.wasm');
  if (twin !== path && !(await cache.match(key(twin)))) await keep(twin, await fetch(address(twin), { cache: 'no-cache' }));
}

/** Cross-origin isolated also where the server does not say so: then there are threads and fine clocks. */
function isolated({ body, status, statusText, headers: given }) {
  const headers = new Headers(given);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  headers.set('Cross-Origin-Resource-Policy', 'same-origin');
  return new Response(body, { status, statusText, headers });
}

self.addEventListener('message', (event) => {
  if (event.data === 'take over') self.skipWaiting();
  if (event.data === 'kept?') event.waitUntil(tell(event.ports[0]));
});

/** Whether the page would start from the cache: all of it, an engine and the model. */
async function tell(port) {
  await Promise.allSettled(pending);
  const cache = await caches.open(CACHE);
  const kept = new Set((await cache.keys()).map(({ url }) => url));
  const has = (pattern) => Object.keys(FILES).some((path) => pattern.test(path) && kept.has(key(path)));
  const small = Object.keys(FILES).filter((path) => !LARGE.test(path));
  port.postMessage(small.every((path) => kept.has(key(path))) && has(/\.wasm$/) && has(/\.onnx$/));
}
