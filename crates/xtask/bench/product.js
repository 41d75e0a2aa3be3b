// What one thread of WebAssembly can do here: the product of two matrices by our own kernel (crates/kernels/examples/product.rs).

// Milliseconds.
const WARM_UP = 500;

export async function product({ program, size, seconds }) {
  const { instance } = await WebAssembly.instantiateStreaming(fetch(program));
  const { prepare, multiply } = instance.exports;
  prepare(size);
  const times = [];
  const begun = performance.now();
  for (let now = begun; now - begun < WARM_UP + 1000 * seconds;) {
    multiply();
    const next = performance.now();
    if (now - begun >= WARM_UP) times.push(next - now);
    now = next;
  }
  times.sort((a, b) => a - b);
  return { flopsPerSecond: 2 * size ** 3 / (times[times.length >> 1] / 1000) };
}
