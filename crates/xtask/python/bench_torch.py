"""PyTorch's speed at what `trainer bench` measures: the peer in `cargo xtask bench --vs-torch`.

    python bench_torch.py --preset small|medium [--batch-size B] [--seconds S]

prints one JSON object: `train_tokens_per_s`, `sample_tokens_per_s`, `peak_gflops`, and what they were measured with.

PyTorch gets what a careful user would give it on a CPU: fused attention, fused AdamW, gradients set to None, one thread per
core, oneDNN/MKL matmuls, inference mode and a preallocated KV cache. Eager float32; no compiler. Inkling trains in float32
too, but samples from weights that are stored as float16, its default: the two do not read equally many bytes per token.
A training step is forward, backward, clipping to a global norm of 1 and AdamW, on a fresh random batch. A sample is one
sequence from one token up to the full context at temperature 1, drawn by `multinomial`. Each figure is the median over
repetitions within the given time, after a warm-up.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from gpt import Config, Gpt, KvCache, decay_groups

PRESETS = {
    "small": (Config(65, n_positions=128, n_embd=128, n_layer=4, n_head=4, n_inner=512), 32),
    "medium": (Config(65, n_positions=256, n_embd=384, n_layer=6, n_head=6, n_inner=1536), 8),
}
GEMM_SIZE = 2048
WARM_UPS = 2
LEAST_REPETITIONS = 5


def median_seconds(run: Callable[[], None], budget: float) -> float:
    """Median duration of `run`, repeated for `budget` seconds and at least five times."""
    for _ in range(WARM_UPS):
        run()
    times: list[float] = []
    while len(times) < LEAST_REPETITIONS or sum(times) < budget:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def initialise(model: Gpt) -> None:
    """GPT-2's start, so that no path runs on unusual numbers."""
    for p in model.parameters():
        if p.dim() >= 2:
            nn.init.normal_(p, std=0.02)


def training_step(model: Gpt, batch_size: int) -> Callable[[], None]:
    config = model.config
    optimizer = torch.optim.AdamW(decay_groups(model, 0.1), lr=1e-3, betas=(0.9, 0.95), fused=True)
    parameters = list(model.parameters())

    def step() -> None:
        stream = torch.randint(config.vocab_size, (batch_size, config.n_positions + 1))
        logits = model(stream[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), stream[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def sampling(model: Gpt) -> Callable[[], None]:
    config = model.config
    caches = [KvCache(config, 1) for _ in range(config.n_layer)]

    @torch.inference_mode()
    def sample() -> None:
        token = torch.zeros(1, 1, dtype=torch.long)
        for position in range(config.n_positions):
            logits = model(token, caches, position)[:, -1]
            token = torch.multinomial(logits.softmax(dim=-1), 1)

    return sample


def gemm_gflops(budget: float) -> float:
    a, b = torch.randn(2, GEMM_SIZE, GEMM_SIZE).unbind()
    out = torch.empty_like(a)
    seconds = median_seconds(lambda: torch.mm(a, b, out=out), budget)
    return 2 * GEMM_SIZE**3 / seconds / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", choices=PRESETS, required=True)
    parser.add_argument("--batch-size", type=int, help="sequences per training step (default: the preset's)")
    parser.add_argument("--seconds", type=float, default=8.0, help="time for each of training and sampling")
    arguments = parser.parse_args()

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config, batch_size = PRESETS[arguments.preset]
    batch_size = arguments.batch_size or batch_size
    model = Gpt(config)
    initialise(model)

    step_seconds = median_seconds(training_step(model, batch_size), arguments.seconds)
    model.eval()
    sample_seconds = median_seconds(sampling(model), arguments.seconds)
    result = {
        "preset": arguments.preset,
        "batch_size": batch_size,
        "train_tokens_per_s": batch_size * config.n_positions / step_seconds,
        "sample_tokens_per_s": config.n_positions / sample_seconds,
        "peak_gflops": gemm_gflops(min(arguments.seconds, 2.0)),
        "sample_weights": "f32",
        "threads": threads,
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
