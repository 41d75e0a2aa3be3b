// Says what is wrong when the programs cannot run at all; everything else is theirs to say.
(() => {
  // A function that makes a vector of zeros: WebAssembly with 128-bit SIMD.
  const simd = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11);
  const cannot =
    location.protocol === "file:" ? "file" :
    typeof WebAssembly !== "object" || typeof BigInt !== "function" ? "wasm" :
    !WebAssembly.validate(simd) ? "simd" :
    typeof Worker !== "function" ? "worker" : null;
  const say = (what) => {
    if (document.documentElement.dataset.started) return;
    document.documentElement.dataset.cannot = what;
    const sentence = document.getElementById("cannot-" + what);
    if (sentence) sentence.hidden = false;
  };
  // The page's program marks the document once it runs.
  const watch = () => {
    if (cannot) return say(cannot);
    addEventListener("unhandledrejection", () => say("fetch"));
    addEventListener("error", (event) => { if (event.target !== window) say("fetch"); }, true);
  };
  watch();
  addEventListener("DOMContentLoaded", () => { const what = document.documentElement.dataset.cannot; if (what) say(what); });
})();
