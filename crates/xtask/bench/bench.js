// The page that `cargo xtask bench --page` opens: it measures what it is told to, one thing per visit.
import { train as inkling } from './inkling.js';
import { train as nanogpt } from './nanogpt.js';
import { product } from './product.js';

const MEASUREMENTS = { inkling, nanogpt, product };

// Runs and tokens that an earlier visit left behind would be found again.
async function emptyStorage() {
  const folder = await navigator.storage.getDirectory();
  for await (const name of folder.keys()) await folder.removeEntry(name, { recursive: true });
}

// Answers the driver, which knows no promises that fail.
window.measure = async (what, settings, answer) => {
  try {
    await emptyStorage();
    answer({ result: await MEASUREMENTS[what](settings) });
  } catch (error) {
    answer({ problem: String(error?.stack ?? error) });
  }
};
