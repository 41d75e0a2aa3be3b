"""A GPT in plain PyTorch: what Inkling's core must compute, and the peer it is raced against.

    x = wte[token] + wpe[position]
    repeat n_layer:  x = x + attn(ln_1(x));  x = x + mlp(ln_2(x))
    logits = lm_head(ln_f(x))

Module names are GPT-2's without the `transformer.` prefix and linear weights are `[out, in]`, so that `state_dict()`
speaks Inkling's own names. Shapes: B sequences, T tokens, C channels, H heads of D = C / H, V token ids.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
}


@dataclass
class Config:
    """The fields of core's `ModelConfig`, by the names under which it is serialised."""

    vocab_size: int
    n_positions: int = 1
    n_embd: int = 1
    n_layer: int = 1
    n_head: int = 1
    n_inner: int = 1
    architecture: str = "gpt"
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    tie_word_embeddings: bool = True
    lm_head_bias: bool = False
    dropout: float = 0.0

    def to_json(self) -> dict:
        """`config.json` of a folder that only Inkling reads."""
        return {"model_type": "inkling", "inkling": asdict(self)}


class KvCache:
    """Keys and values of one layer, written in place: `[B, H, T, D]` each."""

    def __init__(self, config: Config, batch: int):
        shape = (batch, config.n_head, config.n_positions, config.n_embd // config.n_head)
        self.keys = torch.empty(shape)
        self.values = torch.empty(shape)

    def append(self, position: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Stores `[B, H, n, D]` at `position` and returns everything up to there."""
        end = position + k.size(2)
        self.keys[:, :, position:end] = k
        self.values[:, :, position:end] = v
        return self.keys[:, :, :end], self.values[:, :, :end]


class Attention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

    def heads(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values, each `[B, H, T, D]`."""
        B, T, C = x.shape
        qkv = self.c_attn(x).split(C, dim=2)
        return [part.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for part in qkv]

    def probabilities(self, x: Tensor) -> Tensor:
        """softmax(q kᵀ / √D) under the causal mask, `[B, H, T, T]`: what the fused kernel never writes down."""
        q, k, _ = self.heads(x)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
        future = torch.ones_like(scores, dtype=torch.bool).triu(1)
        return scores.masked_fill(future, -math.inf).softmax(dim=-1)

    def forward(self, x: Tensor, cache: KvCache | None = None, position: int = 0) -> Tensor:
        q, k, v = self.heads(x)
        if cache is not None:
            k, v = cache.append(position, k, v)
        # One new query sees every cached key, so that only whole sequences need the mask.
        y = F.scaled_dot_product_attention(q, k, v, is_causal=q.size(2) > 1)
        return self.c_proj(y.transpose(1, 2).reshape(x.shape))


class Mlp(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, config.n_inner)
        self.c_proj = nn.Linear(config.n_inner, config.n_embd)
        self.activation = ACTIVATIONS[config.activation_function]

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.activation(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor, cache: KvCache | None = None, position: int = 0) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache, position)
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    """`forward(tokens [B, T]) -> logits [B, T, V]`. Dropout is 0: it is not part of what is compared."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=config.lm_head_bias)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.wte.weight

    def embed(self, tokens: Tensor, position: int = 0) -> Tensor:
        positions = torch.arange(position, position + tokens.size(1))
        return self.wte(tokens) + self.wpe(positions)

    def first_attention(self, tokens: Tensor) -> Tensor:
        """Attention probabilities of layer 0, `[B, H, T, T]`."""
        block = self.h[0]
        return block.attn.probabilities(block.ln_1(self.embed(tokens)))

    def forward(self, tokens: Tensor, caches: list[KvCache] | None = None, position: int = 0) -> Tensor:
        x = self.embed(tokens, position)
        for layer, block in enumerate(self.h):
            x = block(x, caches[layer] if caches else None, position)
        return self.lm_head(self.ln_f(x))


class Bigram(nn.Module):
    """`logits = table[token]`."""

    def __init__(self, config: Config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.wte(tokens)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """AdamW's groups: matrices and tables (rank >= 2) decay, biases and gains do not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
