// The page without a network: a service worker (sw.js) keeps what the page is made of, and the engine and model that
// it has loaded. A new version waits until the visitor wants it.

import { $ } from './dom.js';

const PATIENCE = 4000; // milliseconds

/**
 * Resolves when what is loaded next will be kept, or when that will not be. On a first visit the service worker has to
 * start before the model is fetched: otherwise it would be fetched twice.
 */
export async function prepare() {
  const container = navigator.serviceWorker;
  if (!container) return; // not from https, or a private window
  try {
    const registration = await container.register('sw.js', { updateViaCache: 'none' });
    offerUpdates(registration);
    if (container.controller || registration.active) return; // the latter: reloaded past the service worker
    $('offline').textContent = 'Preparing';
    await Promise.race([
      new Promise((resolve) => container.addEventListener('controllerchange', resolve, { once: true })),
      new Promise((resolve) => setTimeout(resolve, PATIENCE)),
    ]);
  } catch {
    // The page works as well, with a network. The console has said why.
  }
}

/** Says so once all is there. */
export async function confirm() {
  const worker = navigator.serviceWorker?.controller;
  const { port1, port2 } = new MessageChannel();
  const isKept =
    worker &&
    (await new Promise((resolve) => {
      port1.onmessage = ({ data }) => resolve(data);
      worker.postMessage('kept?', [port2]);
    }));
  port1.close();
  $('offline').textContent = isKept ? 'Works offline' : '';
}

function offerUpdates(registration) {
  const bar = $('update');
  const offer = (worker) => {
    if (!navigator.serviceWorker.controller) return; // the first one ever
    bar.hidden = false;
    bar.querySelector('button').onclick = () => {
      navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
      worker.postMessage('take over');
    };
  };
  if (registration.waiting) offer(registration.waiting);
  registration.addEventListener('updatefound', () => {
    const worker = registration.installing;
    worker.addEventListener('statechange', () => worker.state === 'installed' && offer(worker));
  });
}
