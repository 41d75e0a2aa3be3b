// Starts the page's programs. Not in the document itself: its Content-Security-Policy allows no script there.
'use strict';

// Shows the document's own sentence of why there is nothing to see, and says so in place of every figure.
function giveUp(reason, details) {
  // A program that runs says by itself what is wrong.
  if ('started' in document.documentElement.dataset) return;
  document.getElementById(`cannot-${reason}`).hidden = false;
  if (details) console.error(details);
  document.getElementById('shell').replaceChildren();
  for (const figure of document.querySelectorAll('.figure')) {
    const sentence = document.createElement('p');
    sentence.className = 'sentence';
    sentence.textContent = 'This figure needs the model, which could not be started.';
    figure.replaceChildren(sentence);
  }
}

// Why nothing can run in this browser, as the end of an id; undefined if it can.
function obstacle() {
  if (location.protocol === 'file:') return 'file';
  if (typeof WebAssembly !== 'object' || typeof BigInt !== 'function') return 'wasm';
  // A program with 128-bit SIMD: it splats a zero and counts the bits of its lanes.
  const program = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
  if (!WebAssembly.validate(new Uint8Array(program))) return 'simd';
  if (typeof Worker !== 'function') return 'worker';
}

// Starts the program that trains, when the page asks for it.
window.inklingLearner = () => new Worker('./learner-start.js');

// Keeps the screen on while something trains. Where that cannot be, nothing is lost.
let lock;
window.inklingStayAwake = async (wanted) => {
  const held = lock;
  lock = undefined;
  try {
    lock = wanted ? navigator.wakeLock?.request('screen') : undefined;
    await lock;
  } catch { /* A hidden tab, an empty battery, a browser without it. */ }
  (await held?.catch(() => undefined))?.release();
};

// The address is `#section?settings`: browsers send no server what stands behind the `#`. Links of old have the settings in the query.
function moveSettings() {
  if (!location.search) return;
  const [section, settings] = split();
  const all = [location.search.slice(1), settings].filter(Boolean).join('&');
  try {
    history.replaceState(true, '', `${location.pathname}#${section}?${all}`);
  } catch (error) {
    console.info('The address stays as it is:', error.message);
  }
}

function split() {
  const [section, ...settings] = location.hash.slice(1).split('?');
  return [section, settings.join('?')];
}

// Where the visitor was, as a section and where its top was on screen: places in pixels lead astray while figures have not their heights.
function remember() {
  const sections = [...document.querySelectorAll('main > section[id]')];
  const reached = sections.map((section) => ({ id: section.id, top: section.getBoundingClientRect().top }));
  const last = reached.findLast(({ top }) => top < innerHeight / 2);
  try {
    sessionStorage.setItem('place', last ? JSON.stringify(last) : '');
    history.scrollRestoration = last ? 'manual' : 'auto';
  } catch { /* No storage: the browser does what it can. */ }
}

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem('place') || 'null');
  } catch {
    return null;
  }
}

// A visit begins at the section that the address names, and a reload where the page was, until the visitor goes elsewhere: what is above it grows
// while it is filled.
function visit() {
  const isNew = performance.getEntriesByType('navigation')[0]?.type === 'navigate';
  const { id, top } = (isNew ? { id: split()[0] } : remembered()) ?? {};
  addEventListener('pagehide', remember);
  // A page that was only put aside has all its heights.
  addEventListener('pageshow', ({ persisted }) => { if (persisted) history.scrollRestoration = 'auto'; });
  const place = id && document.getElementById(id);
  if (!place) {
    history.scrollRestoration = 'auto';
    return;
  }
  let gone = false;
  for (const name of ['wheel', 'touchstart', 'pointerdown', 'keydown', 'hashchange']) {
    addEventListener(name, () => { gone = true; }, { once: true, passive: true });
  }
  const go = () => {
    if (gone) return;
    if (isNew) place.scrollIntoView({ behavior: 'instant' });
    else scrollBy({ top: place.getBoundingClientRect().top - top, behavior: 'instant' });
  };
  go();
  // Figures have their heights some time after the model: who has not moved until then is reading.
  const growing = new ResizeObserver(go);
  growing.observe(document.body);
  addEventListener('inkling-settled', () => setTimeout(() => {
    growing.disconnect();
    history.scrollRestoration = 'auto';
  }, 5000), { once: true });
}

// An empty `href` would leave out what stands behind the `#`.
addEventListener('click', (event) => {
  if (!event.target.closest('[data-reload]')) return;
  event.preventDefault();
  location.reload();
});

async function start() {
  moveSettings();
  visit();
  const reason = obstacle();
  if (reason) return giveUp(reason);
  // The worker's program is fetched while the page's is. What it says before the page listens is kept for it.
  let worker;
  try {
    worker = new Worker('./worker-start.js');
  } catch (error) {
    // A frame or a policy that allows none.
    return giveUp('worker', error);
  }
  const early = [];
  worker.onmessage = worker.onerror = (event) => early.push(event);
  window.inklingWorker = { worker, early };
  try {
    const { default: load } = await import('./page.js');
    await load();
  } catch (error) {
    giveUp('fetch', error);
  }
}

start();

// The build names a service worker in pages that are to be kept; one that is under development would be kept stale.
if ('serviceWorker' in navigator) {
  const program = document.querySelector('meta[name="service-worker"]')?.content;
  if (program) {
    // After everything that the visitor waits for, also the model: the page tells. Where it cannot be had the page works as well, but not offline.
    addEventListener('inkling-settled', () => {
      navigator.serviceWorker.register(program).catch((error) => console.info('No offline use:', error.message));
    }, { once: true });
  } else {
    navigator.serviceWorker.getRegistration().then((earlier) => earlier?.unregister());
  }
}
