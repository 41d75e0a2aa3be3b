// Starts the worker's program.
'use strict';

importScripts('./worker.js');
// The page hears of errors that are thrown, not of promises that are broken.
wasm_bindgen({ module_or_path: './worker_bg.wasm' }).catch((error) => setTimeout(() => { throw error; }));
