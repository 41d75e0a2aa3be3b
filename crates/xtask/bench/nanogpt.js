// npm's @genai-fi/nanogpt: training by its public interface, on the model of its that is nearest to GPT-2.
import { Stopwatch } from './stopwatch.js';

// Milliseconds between two looks at the loss, which it waits for: its default.
const LOG_INTERVAL = 200;

export async function train({ program, backend, corpus, model, batchSize, seconds }) {
  const { TeachableLLM, tokenise } = await import(program);
  await TeachableLLM.selectBackend(backend);
  const text = await (await fetch(corpus)).text();
  // The same tokens as ours: those of the text, without any that it has not.
  const vocabulary = [...new Set(text)].sort();
  const codes = new Map(vocabulary.map((character, code) => [character, code]));
  const llm = TeachableLLM.create(new tokenise.CharTokeniser(vocabulary), {
    modelType: 'GenAI_NanoGPT_v1',
    useRope: false,
    vocabSize: vocabulary.length,
    blockSize: model.n_positions,
    nLayer: model.n_layer,
    nHead: model.n_head,
    nEmbed: model.n_embd,
    mlpFactor: model.n_inner / model.n_embd,
  });
  await new Promise((resolve, reject) => {
    llm.on('error', reject);
    llm.on('status', (status) => status === 'ready' && resolve());
  });
  const options = { method: { type: 'pretraining' }, batchSize, logInterval: LOG_INTERVAL, maxEpochs: 1_000_000 };
  const tokens = Uint16Array.from(text, (character) => codes.get(character));
  const stopwatch = new Stopwatch(seconds);
  stopwatch.start();
  const measured = await new Promise((resolve, reject) => {
    llm.training.on('error', (id, error) => reject(error));
    llm.training.on('progress', (job) => {
      const { step, trainingMetrics } = job.trainer.log.at(-1);
      const measured = stopwatch.note(step, trainingMetrics.loss);
      if (measured) {
        llm.training.cancel(job.id);
        resolve(measured);
      }
    });
    llm.training.job(options, [tokens], [{ id: 'bench', name: 'bench' }]).catch(reject);
  });
  return { ...measured, device: await device(backend), vocabSize: vocabulary.length, parameters: llm.getNumParams() };
}

async function device(backend) {
  if (backend === 'webgpu') {
    const { info } = await navigator.gpu.requestAdapter();
    return [...new Set([info.vendor, info.architecture, info.device, info.description])].filter(Boolean).join(' ');
  }
  if (backend === 'webgl') {
    const context = document.createElement('canvas').getContext('webgl2');
    return context.getParameter(context.getExtension('WEBGL_debug_renderer_info').UNMASKED_RENDERER_WEBGL);
  }
  return 'JavaScript';
}
