// Starts the learner's program.
'use strict';

// A replica's trouble is told to the learner as a text (crates/page/src/worker/train/crew), and is no error of everybody's.
if (self.name === 'replica') {
  addEventListener('error', (event) => {
    event.preventDefault();
    postMessage(event.message || 'it broke down');
  });
}
importScripts('./learner.js');
// The page hears of errors that are thrown, not of promises that are broken.
wasm_bindgen({ module_or_path: './learner_bg.wasm' }).catch((error) => setTimeout(() => { throw error; }));
