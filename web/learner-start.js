// Starts the learner's program.
'use strict';

importScripts('./learner.js');
// The page hears of errors that are thrown, not of promises that are broken.
wasm_bindgen({ module_or_path: './learner_bg.wasm' }).catch((error) => setTimeout(() => { throw error; }));
