// Runs a wasm32-wasip1 test binary under Node (>= 20):  node --no-warnings runner.mjs FILE.wasm [ARGUMENTS]
// The program sees the directory it is started in (cargo starts tests in their package) and nothing else.

import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [file, ...rest] = process.argv.slice(2);
const here = process.cwd();
const wasi = new WASI({
  version: "preview1",
  args: [file, ...rest],
  env: process.env,
  preopens: { [here]: here, ".": here },
  returnOnExit: true,
});

const module = await WebAssembly.compile(await readFile(file));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
try {
  process.exitCode = wasi.start(instance);
} catch (trap) {
  // wasm cannot unwind: a failed assertion ends the program here, its message already printed.
  console.error(`${file} stopped: ${trap.message}`);
  process.exitCode = 101;
}
