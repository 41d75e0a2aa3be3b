// Starts the page's two programs. Not in the document itself: its Content-Security-Policy allows no script there.
'use strict';

// In place of figures that will not come.
function giveUp(sentence, details) {
  const say = (place, text) => {
    const paragraph = document.createElement('p');
    paragraph.className = 'sentence';
    paragraph.textContent = text;
    place.replaceChildren(paragraph);
  };
  document.querySelectorAll('.figure').forEach((figure) => say(figure, 'This figure needs the model, which could not be started.'));
  say(document.getElementById('shell'), details ? `${sentence} (${details})` : sentence);
}

// Whether the browser takes a program with 128-bit SIMD: this one splats a zero and counts the bits of its lanes.
function hasSimd() {
  const program = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
  return typeof WebAssembly === 'object' && WebAssembly.validate(new Uint8Array(program));
}

async function start() {
  if (location.protocol === 'file:') {
    return giveUp('A browser runs no programs from a file. Serve this folder, for example with `python3 -m http.server`, and open it there.');
  }
  if (!hasSimd()) {
    return giveUp('The model needs WebAssembly with SIMD, and this browser has none, or has it switched off.');
  }
  // The worker's program is fetched while the page's is. What it says before the page listens is kept for it.
  const worker = new Worker('./worker-start.js');
  const early = [];
  worker.onmessage = worker.onerror = (event) => early.push(event);
  window.inklingWorker = { worker, early };
  try {
    const { default: load } = await import('./page.js');
    await load();
  } catch (error) {
    console.error(error);
    giveUp('The page’s program could not be fetched or started. Reload the page to try again.', error.message ?? String(error));
  }
}

start();

// The build names a service worker in pages that are to be kept; one that is under development would be kept stale.
if ('serviceWorker' in navigator) {
  const program = document.querySelector('meta[name="service-worker"]')?.content;
  if (program) {
    // After everything that the visitor waits for. Where it cannot be had the page works as well, but not offline.
    addEventListener('load', () => navigator.serviceWorker.register(program).catch((error) => console.info('No offline use:', error.message)));
  } else {
    navigator.serviceWorker.getRegistration().then((earlier) => earlier?.unregister());
  }
}
