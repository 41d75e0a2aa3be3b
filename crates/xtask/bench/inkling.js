// The page's own way to train: its program `learner`, by its protocol (crates/page/src/protocol). A message is what serde makes of its Rust type.
import { Stopwatch } from './stopwatch.js';

export async function train({ program, backend, threads, model, batchSize, seconds }) {
  const learner = new Learner(program);
  try {
    await learner.ready;
    const engine = await learner.first({ UseEngine: { choice: backend, threads } });
    if (engine.kind !== backend) throw new Error(`wanted ${backend}, but: ${engine.reason}`);
    return await learner.train(model, batchSize, seconds);
  } finally {
    learner.worker.terminate();
  }
}

class Learner {
  constructor(program) {
    this.worker = new Worker(program);
    this.asks = [];
    this.worker.onmessage = ({ data }) => this.hear(data);
    // What is said to it before is lost.
    this.ready = new Promise((resolve, reject) => {
      this.isReady = resolve;
      this.worker.onerror = ({ message }) => this.fail(message, reject);
    });
  }

  fail(message, reject) {
    reject?.(new Error(message));
    this.asks.forEach((ask) => ask.fail(new Error(message)));
  }

  hear(event) {
    const [[kind, content]] = Object.entries(typeof event === 'string' ? { [event]: {} } : event);
    const ask = this.asks[content.id];
    if (kind === 'Ready') this.isReady();
    if (kind === 'Part') ask.part(Object.values(content.part)[0]);
    if (kind === 'Failed') ask.fail(new Error(content.failure.message));
    if (kind === 'Panicked') this.fail(content.message);
  }

  ask(call, part, fail) {
    const id = this.asks.push({ part, fail }) - 1;
    this.worker.postMessage({ Ask: { id, call } });
  }

  // What is said first in answer to a call.
  first(call) {
    return new Promise((resolve, reject) => this.ask(call, resolve, reject));
  }

  train(model, batchSize, seconds) {
    const settings = {
      name: 'bench',
      model,
      // As long as it is looked at, without evaluations: the peer makes none.
      train: { batch_size: batchSize, max_steps: 1_000_000, eval_steps: 1_000_000 },
      text: 'Shakespeare',
      tokenizer: 'Char',
    };
    const stopwatch = new Stopwatch(seconds);
    return new Promise((resolve, reject) => {
      let plan, device;
      this.ask({ OpenRun: { New: settings } }, (part) => {
        const [[kind, content]] = Object.entries(part);
        switch (kind) {
          case 'Opened':
            ({ plan, engine: device } = content);
            this.ask({ Steer: { run: content.run, to: 'Play' } }, () => {}, reject);
            break;
          // The model's text at some steps begins with the one and ends with the other: the peer writes none.
          case 'Snapshot':
            stopwatch.stop();
            break;
          case 'Sample':
            stopwatch.start();
            break;
          case 'Moved':
            reject(new Error(content.why));
            break;
          case 'State':
            if (content.Broken) reject(new Error(content.Broken.why));
            break;
          case 'Steps': {
            const { step, loss } = content.steps.at(-1);
            const measured = stopwatch.note(Number(step), loss);
            if (measured) resolve({ ...measured, ...about(plan), device });
          }
        }
      }, reject);
    });
  }
}

function about(plan) {
  return {
    vocabSize: Number(plan.vocab_size),
    parameters: Number(plan.parameters),
    flopsPerToken: plan.flops_per_step / Number(plan.tokens_per_step),
  };
}
