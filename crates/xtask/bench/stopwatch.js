// What comes before is not measured: programs are compiled, memory is allocated. Milliseconds; a slow engine's first update takes longer.
const WARM_UP = 2000;

// Updates that are measured at least.
const LEAST = 2;

// Times a training by what it says of itself, on this page's clock.
export class Stopwatch {
  constructor(seconds) {
    this.seconds = seconds;
    this.losses = [];
    this.passed = 0;
  }

  // It trains from now on.
  start() {
    this.since ??= performance.now();
  }

  // It does something else.
  stop() {
    this.passed = this.time();
    this.since = undefined;
  }

  time() {
    return this.passed + (this.since === undefined ? 0 : performance.now() - this.since);
  }

  // So many updates are done, and waited for. Returns what was measured when it is enough.
  note(steps, loss) {
    const time = this.time();
    this.losses.push(loss);
    if (this.from === undefined) {
      if (time >= WARM_UP) this.from = { time, steps };
      return undefined;
    }
    const seconds = (time - this.from.time) / 1000;
    const done = steps - this.from.steps;
    if (seconds < this.seconds || done < LEAST) return undefined;
    return { steps: done, seconds, losses: [this.losses[0], this.losses.at(-1)] };
  }
}
