// The service worker: after the first visit the page works offline.
//
// The build puts VERSION and FILES (name: SHA-256) in front. All files of a version are fetched and checked before it is taken; a version
// that waits takes over when no page of the one before is open, and then throws that one's files away. Names hold the hash of the
// content, so two versions never mix: a new document leads to new names, which the network has.
//
// Models are none of its business: the page's worker keeps them itself. The corpus is one of the files.
'use strict';

// Caches are the whole origin's, where another copy of the page may live.
const OURS = `inkling page ${self.registration.scope} `;
const SHELL = OURS + VERSION;

// How long the network may take for the document before the one that is kept is shown, in milliseconds.
const PATIENCE = 4000;

// Of the folder that the page is served from, wherever that is. The document is asked for as the folder itself: some hosts redirect from
// its name, and an answer by way of a redirect cannot be given to a visitor.
const DOCUMENT = 'index.html';
const address = (name) => new URL(name === DOCUMENT ? './' : name, self.registration.scope).href;

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(SHELL).then((cache) => {
    // What is named by its content was just downloaded by the page: the browser may still have it. What that holds is checked in any case.
    const mode = (name) => (/-[0-9a-f]{16}\.\w+$/.test(name) ? 'default' : 'no-cache');
    const requests = Object.entries(FILES).map(([name, integrity]) => new Request(address(name), { integrity, cache: mode(name) }));
    return cache.addAll(requests);
  }).catch(async (error) => {
    // The version before stays whole, and nothing of this one is left behind.
    await caches.delete(SHELL);
    throw error;
  }));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(caches.keys().then((names) => {
    // Earlier versions had the corpus in a cache of its own.
    const data = `inkling data ${self.registration.scope}`;
    const old = names.filter((name) => (name.startsWith(OURS) && name !== SHELL) || name === data);
    return Promise.all(old.map((name) => caches.delete(name)));
  }));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const scope = self.registration.scope;
  if (request.method !== 'GET' || !request.url.startsWith(scope)) return;
  const name = request.url.slice(scope.length).split(/[?#]/)[0] || DOCUMENT;
  if (request.mode === 'navigate') {
    if (name === DOCUMENT) event.respondWith(networkElseCache(request));
  } else if (name in FILES) {
    event.respondWith(cacheElseNetwork(address(name), request));
  }
});

// The document: the newest that can be had without a long wait.
async function networkElseCache(request) {
  const kept = () => caches.open(SHELL).then((cache) => cache.match(address(DOCUMENT)));
  const network = fetch(request);
  // It may fail when nobody waits for it any more.
  network.catch(() => {});
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(resolve, PATIENCE); });
  try {
    const response = await Promise.race([network, late]);
    if (response?.ok) return response;
    // Where nothing is kept, whatever the network says.
    return (await kept()) ?? (await network);
  } catch (error) {
    return (await kept()) ?? Response.error();
  } finally {
    clearTimeout(timer);
  }
}

// A file that never changes under its name.
async function cacheElseNetwork(key, request) {
  const cache = await caches.open(SHELL);
  return (await cache.match(key)) ?? fetch(request);
}
