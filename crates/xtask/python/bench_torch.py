"""PyTorch's speed at what `trainer bench` measures: the peer in `cargo xtask bench --vs-torch`.

    python bench_torch.py --preset small|medium [--device cpu|gpu] [--batch-size B] [--seconds S]

prints one JSON object: `train_tokens_per_s`, `sample_tokens_per_s`, `peak_gflops`, and what they were measured with.

PyTorch gets what a careful user would give it on a CPU: fused attention, fused AdamW, gradients set to None, one thread per
core, oneDNN/MKL matmuls, inference mode and a preallocated KV cache. Eager float32; no compiler. Inkling trains in float32
too, but samples from weights that are stored as float16, its default: the two do not read equally many bytes per token.
A training step is forward, backward, clipping to a global norm of 1 and AdamW, on a fresh random batch. A sample is one
sequence from one token up to the full context at temperature 1, drawn by `multinomial`. Each figure is the median over
repetitions within the given time, after a warm-up.

On a GPU (CUDA, or Apple's Metal) the steps are queued in groups between two synchronisations, as Inkling's are; matrix products are
float32, not TF32.
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
GEMM_SIZE = {"cpu": 2048, "cuda": 4096, "mps": 4096}
# Runs between two synchronisations: a GPU is kept busy, a CPU has nothing to wait for.
GROUP = {"cpu": 1, "cuda": 10, "mps": 10}
WARM_UPS = 2
LEAST_REPETITIONS = 5


def find_device(name: str) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    raise SystemExit("this PyTorch sees no GPU: install its CUDA build, or measure --device cpu")


def synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def median_seconds(run: Callable[[], None], budget: float, device: torch.device) -> float:
    """Median duration of `run`, repeated in groups for `budget` seconds and at least five times."""
    group = GROUP[device.type]
    for _ in range(WARM_UPS):
        run()
    synchronize(device)
    times: list[float] = []
    while len(times) < LEAST_REPETITIONS or group * sum(times) < budget:
        start = time.perf_counter()
        for _ in range(group):
            run()
        synchronize(device)
        times.append((time.perf_counter() - start) / group)
    return statistics.median(times)


def initialise(model: Gpt) -> None:
    """GPT-2's start, so that no path runs on unusual numbers."""
    for p in model.parameters():
        if p.dim() >= 2:
            nn.init.normal_(p, std=0.02)


def training_step(model: Gpt, batch_size: int, device: torch.device) -> Callable[[], None]:
    config = model.config
    optimizer = torch.optim.AdamW(decay_groups(model, 0.1), lr=1e-3, betas=(0.9, 0.95), fused=True)
    parameters = list(model.parameters())

    def step() -> None:
        stream = torch.randint(config.vocab_size, (batch_size, config.n_positions + 1), device=device)
        logits = model(stream[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), stream[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def sampling(model: Gpt, device: torch.device) -> Callable[[], None]:
    config = model.config
    with device:
        caches = [KvCache(config, 1) for _ in range(config.n_layer)]

    @torch.inference_mode()
    def sample() -> None:
        token = torch.zeros(1, 1, dtype=torch.long, device=device)
        for position in range(config.n_positions):
            logits = model(token, caches, position)[:, -1]
            token = torch.multinomial(logits.softmax(dim=-1), 1)

    return sample


def gemm_gflops(budget: float, device: torch.device) -> float:
    size = GEMM_SIZE[device.type]
    a, b = torch.randn(2, size, size, device=device).unbind()
    out = torch.empty_like(a)
    seconds = median_seconds(lambda: torch.mm(a, b, out=out), budget, device)
    return 2 * size**3 / seconds / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", choices=PRESETS, required=True)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--batch-size", type=int, help="sequences per training step (default: the preset's)")
    parser.add_argument("--seconds", type=float, default=8.0, help="time for each of training and sampling")
    arguments = parser.parse_args()

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = find_device(arguments.device)
    # Float32 means float32: no TF32 in products.
    torch.set_float32_matmul_precision("highest")
    config, batch_size = PRESETS[arguments.preset]
    batch_size = arguments.batch_size or batch_size
    model = Gpt(config)
    initialise(model)
    model.to(device)

    step_seconds = median_seconds(training_step(model, batch_size, device), arguments.seconds, device)
    model.eval()
    sample_seconds = median_seconds(sampling(model, device), arguments.seconds, device)
    result = {
        "preset": arguments.preset,
        "batch_size": batch_size,
        "train_tokens_per_s": batch_size * config.n_positions / step_seconds,
        "sample_tokens_per_s": config.n_positions / sample_seconds,
        "peak_gflops": gemm_gflops(min(arguments.seconds, 2.0), device),
        "sample_weights": "f32",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "threads": threads,
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
