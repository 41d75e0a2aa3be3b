"""PyTorch as the oracle: writes the fixtures that core's tests compare themselves with.

    python golden.py OUT

writes, for each configuration, `OUT/<name>/`

    config.json             GPT-2's or Llama's as `transformers` saves it, or `{"model_type": "inkling", ...}`
    model.safetensors       the start: GPT-2's names with Conv1D's [in, out], Llama's, or Inkling's with [out, in]
    expected.safetensors    what must come out, see below

All expected values are computed in float64 and stored as float32, under Inkling's names and in [out, in] layout:

    tokens, targets         int32 [B, T]
    logits                  [B, T, V]
    token_losses            [B, T]      cross-entropy in nats
    loss                    [1]         their mean
    attn0                   [B, H, T, T] attention probabilities of layer 0 (not for the bigram)
    grad.<name>             d loss / d parameter; a tied table's is the sum of both uses
    losses                  [10]        before each of ten steps on this same batch
    grad_norms              [10]        global norm before clipping
    after.<name>            parameters after the ten steps

A step: gradients clipped to a global norm of 1, then AdamW (lr 3e-3, betas 0.9 and 0.95, eps 1e-8, weight decay 0.1 on
tensors of rank >= 2 only, embedding tables included).

How far float32 may be off: PyTorch itself, run in float32, stays within 1e-6 on logits, losses and norms, 6e-7 on
gradients, and mostly within 2e-6 on `after` (6e-5 at worst, where a gradient happens to be close to zero). One exception: the
*key* third of `c_attn.bias`. Its gradient is exactly zero in theory (it shifts all scores of a query alike); what float32
leaves is rounding noise, which Adam's normalisation turns into steps: up to 4e-3 in `after`. No output depends on it.

Weights are drawn much wider than a real start, random biases and gains included, so that a swapped layout, a missing bias
or a wrong epsilon shows. Everything is seeded and single-threaded: a second run writes the same bytes (with the versions
of requirements.txt).
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

import llama
from gpt import Bigram, Config, Gpt, decay_groups

STEPS = 10
LEARNING_RATE = 3e-3
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.1
MAX_NORM = 1.0

LLAMA = dict(
    position_embedding_type="rope",
    normalization="rmsnorm",
    activation_function="swiglu",
    bias=False,
)

# name: (configuration, batch size, who is the oracle). Of the Llama family our own module is, being all float64, and the model of
# `transformers` must agree with it; one is saved as `transformers` does.
CASES = {
    "gpt2-tanh": (Config(11, 8, 16, 2, 2, 64), 3, "transformers"),
    "gpt2-relu": (Config(11, 8, 16, 2, 2, 64, activation_function="relu"), 3, "transformers"),
    "gpt2-gelu-untied": (
        Config(11, 8, 16, 2, 2, 64, activation_function="gelu", tie_word_embeddings=False),
        3,
        "transformers",
    ),
    # Nothing is a multiple of anything: C = 15, D = 5, F = 37, T = 7, V = 13.
    "odd-sizes": (
        Config(13, 7, 15, 2, 3, 37, tie_word_embeddings=False, lm_head_bias=True, layer_norm_epsilon=1e-3),
        2,
        "own",
    ),
    "minigpt": (
        Config(17, 8, 16, 1, 4, 64, activation_function="gelu", tie_word_embeddings=False, lm_head_bias=True),
        2,
        "own",
    ),
    "tied-head-bias": (Config(10, 5, 8, 1, 2, 32, lm_head_bias=True), 2, "own"),
    # Vector widths and tails: D = 32, one token past 32, F = 100.
    "wide": (Config(29, 33, 96, 1, 3, 100), 2, "transformers"),
    "bigram": (Config(9, n_positions=8, architecture="bigram", tie_word_embeddings=False), 3, "own"),
    "llama": (Config(13, 9, 24, 2, 4, 40, n_kv_head=2, tie_word_embeddings=False, **LLAMA), 2, "llama"),
    "mistral": (Config(11, 12, 16, 2, 4, 20, n_kv_head=1, sliding_window=3, rope_theta=100.0, **LLAMA), 2, "mistral"),
    "qwen3": (Config(11, 8, 24, 2, 2, 33, qk_norm=True, layer_norm_epsilon=1e-3, **LLAMA), 2, "qwen3"),
    "sinusoidal": (Config(11, 9, 15, 2, 3, 20, position_embedding_type="sinusoidal", bias=False), 2, "own"),
    # A window past the end of a tile of 64 queries, keys shared by three, odd head size.
    "window": (Config(17, 70, 30, 1, 6, 40, n_kv_head=2, sliding_window=66, activation_function="gelu"), 1, "own"),
    # One gain for heads of 5, biases beside a gate, rms without rope.
    "mixed": (
        Config(
            10,
            7,
            20,
            2,
            4,
            9,
            n_kv_head=2,
            normalization="rmsnorm",
            activation_function="swiglu",
            qk_norm=True,
            lm_head_bias=True,
        ),
        3,
        "own",
    ),
}


def build(config: Config, oracle: str) -> nn.Module:
    """The oracle's module, its weights not yet drawn."""
    if oracle != "transformers":
        return (Bigram if config.architecture == "bigram" else Gpt)(config)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.n_positions,
            n_embd=config.n_embd,
            n_layer=config.n_layer,
            n_head=config.n_head,
            n_inner=config.n_inner,
            activation_function=config.activation_function,
            layer_norm_epsilon=config.layer_norm_epsilon,
            tie_word_embeddings=config.tie_word_embeddings,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
            attn_implementation="eager",
        )
    )


def draw(model: nn.Module, config: Config, generator: torch.Generator) -> None:
    """Random float32 weights: 0.8 / sqrt(C) for matrices keeps the logits of every width of order one; gains around 1."""
    std = 1.0 if config.architecture == "bigram" else 0.8 / config.n_embd**0.5
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() >= 2:
                p.normal_(0.0, std, generator=generator)
            else:
                p.normal_(1.0 if name.endswith(".weight") else 0.0, 0.2, generator=generator)


def inkling(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """GPT-2's name and Conv1D layout to Inkling's."""
    short = name.removeprefix("transformer.")
    is_conv1d = name != short and short.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
    return short, tensor.t() if is_conv1d else tensor


def parameters(model: nn.Module, prefix: str, value) -> dict[str, Tensor]:
    """`value(parameter)` of every parameter under Inkling's names."""
    pairs = (inkling(name, value(p)) for name, p in model.named_parameters())
    return {prefix + name: tensor.detach().clone() for name, tensor in pairs}


def logits_of(model: nn.Module, tokens: Tensor) -> Tensor:
    out = model(tokens)
    return out.logits if isinstance(model, GPT2LMHeadModel) else out


def token_losses_of(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)


def first_attention(model: nn.Module, config: Config, tokens: Tensor, logits: Tensor) -> Tensor:
    """Attention of layer 0; where `transformers` is the oracle, our own module must agree with it on everything."""
    if isinstance(model, Gpt):
        return model.first_attention(tokens)
    own = Gpt(config).double()
    own.load_state_dict(parameters(model, "", lambda p: p), strict=not config.tie_word_embeddings)
    theirs = model(tokens, output_attentions=True).attentions[0]
    torch.testing.assert_close(own(tokens), logits)
    torch.testing.assert_close(own.first_attention(tokens), theirs)
    return theirs


def train(model: nn.Module, tokens: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Ten steps on one batch."""
    optimizer = torch.optim.AdamW(decay_groups(model, WEIGHT_DECAY), lr=LEARNING_RATE, betas=BETAS, eps=1e-8)
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = token_losses_of(logits_of(model, tokens), targets).mean()
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM))
        losses.append(loss.detach())
        optimizer.step()
    return {
        "losses": torch.stack(losses),
        "grad_norms": torch.stack(norms),
        **parameters(model, "after.", lambda p: p),
    }


def expected(model: nn.Module, config: Config, tokens: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Everything core is compared with. Leaves the model trained."""
    logits = logits_of(model, tokens)
    token_losses = token_losses_of(logits, targets)
    loss = token_losses.mean()
    loss.backward()
    result = {"logits": logits, "token_losses": token_losses, "loss": loss.reshape(1)}
    if config.architecture == "gpt":
        result["attn0"] = first_attention(model, config, tokens, logits)
    result |= parameters(model, "grad.", lambda p: p.grad)
    return result | train(model, tokens, targets)


def write_case(folder: Path, config: Config, batch: int, oracle: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    stream = torch.randint(config.vocab_size, (batch, config.n_positions + 1), generator=generator)
    tokens, targets = stream[:, :-1], stream[:, 1:]

    model = build(config, oracle).eval()
    draw(model, config, generator)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    theirs = llama.check(oracle, config, model, tokens) if oracle in llama.FAMILY else model
    if oracle in ("transformers", "llama"):
        theirs.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
    else:
        (folder / "config.json").write_text(json.dumps(config.to_json(), indent=2) + "\n")
        save_file(parameters(model, "", lambda p: p), folder / "model.safetensors")

    values = expected(model.double(), config, tokens, targets)
    values = {name: tensor.detach().float().contiguous() for name, tensor in values.items()}
    values |= {"tokens": tokens.int().contiguous(), "targets": targets.int().contiguous()}
    save_file(values, folder / "expected.safetensors")
    losses = values["losses"]
    print(f"{folder.name:18} loss {losses[0]:.4f} -> {losses[-1]:.4f} after {STEPS} steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="folder of the fixtures")
    out = parser.parse_args().out
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for seed, (name, (config, batch, oracle)) in enumerate(CASES.items()):
        write_case(out / name, config, batch, oracle, seed)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{len(CASES)} fixtures, {size / 1e6:.2f} MB in {out}")


if __name__ == "__main__":
    main()
