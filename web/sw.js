// The service worker: after the first visit the page works offline.
//
// The build puts VERSION and FILES (name: SHA-256) in front. All files of a version are fetched and checked before it is taken; a version
// that waits takes over when no page of the one before is open, and then throws that one's files away. Names hold the hash of the
// content, so two versions never mix: a new document leads to new names, which the network has.
//
// Models are none of its business: the page's worker keeps them itself.
'use strict';

// Caches are the whole origin's, where another copy of the page may live.
const OURS = `inkling page ${self.registration.scope} `;
const SHELL = OURS + VERSION;
const DATA = `inkling data ${self.registration.scope}`;

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
  }));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(caches.keys().then((names) => {
    const old = names.filter((name) => name.startsWith(OURS) && name !== SHELL);
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
    event.respondWith(cacheElseNetwork(SHELL, address(name), request));
  } else if (name.startsWith('data/')) {
    event.respondWith(cacheElseNetwork(DATA, address(name), request));
  }
});

// The document: the newest that can be had.
async function networkElseCache(request) {
  try {
    const response = await fetch(request);
    if (response.ok) return response;
    return (await kept(SHELL, address(DOCUMENT))) ?? response;
  } catch (error) {
    return (await kept(SHELL, address(DOCUMENT))) ?? Response.error();
  }
}

// A file that never changes under its name.
async function cacheElseNetwork(cacheName, key, request) {
  const cached = await kept(cacheName, key);
  if (cached) return cached;
  const response = await fetch(request);
  if (cacheName === DATA && response.status === 200) {
    const copy = response.clone();
    // A full disk is no reason to withhold the answer.
    caches.open(DATA).then((cache) => cache.put(key, copy)).catch(() => {});
  }
  return response;
}

const kept = (cacheName, key) => caches.open(cacheName).then((cache) => cache.match(key));
