"""A GPT in plain PyTorch: what Inkling's core must compute, and the peer it is raced against.

    x = wte[token] + wpe[position]
    repeat n_layer:  x = x + attn(ln_1(x));  x = x + mlp(ln_2(x))
    logits = lm_head(ln_f(x))

and its variants: the fields of `Config` are those of core's `ModelConfig`, whose documentation has their sources.

Module names are GPT-2's without the `transformer.` prefix and linear weights are `[out, in]`, so that `state_dict()`
speaks Inkling's own names. Shapes: B sequences, T tokens, C channels, H heads of D = C / H (G of keys and values), V token
ids.
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
    n_kv_head: int | None = None
    position_embedding_type: str = "learned"
    rope_theta: float = 10_000.0
    sliding_window: int | None = None
    qk_norm: bool = False
    normalization: str = "layernorm"
    bias: bool = True

    def __post_init__(self):
        self.n_kv_head = self.n_kv_head or self.n_head

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    def to_json(self) -> dict:
        """`config.json` of a folder that only Inkling reads."""
        return {"model_type": "inkling", "inkling": asdict(self)}


class KvCache:
    """Keys and values of one layer, written in place: `[B, G, T, D]` each."""

    def __init__(self, config: Config, batch: int):
        shape = (batch, config.n_kv_head, config.n_positions, config.head_dim)
        self.keys = torch.empty(shape)
        self.values = torch.empty(shape)

    def append(self, position: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Stores `[B, G, n, D]` at `position` and returns everything up to there."""
        end = position + k.size(2)
        self.keys[:, :, position:end] = k
        self.values[:, :, position:end] = v
        return self.keys[:, :, :end], self.values[:, :, :end]


def norm(config: Config, channels: int | None = None) -> nn.Module:
    """The model's norm over the stream's channels, or the RMS norm over those of a head."""
    epsilon = config.layer_norm_epsilon
    if channels is not None or config.normalization == "rmsnorm":
        return nn.RMSNorm(channels or config.n_embd, epsilon)
    return nn.LayerNorm(config.n_embd, epsilon, bias=config.bias)


def rotate(x: Tensor, position: int, theta: float) -> Tensor:
    """Rotary embedding of `[B, H, T, D]` whose first token stands at `position`: channels i and i + D/2 are a pair."""
    T, D = x.shape[-2:]
    rates = theta ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    angles = torch.arange(position, position + T, dtype=torch.float64)[:, None] * rates
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Attention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        width = (config.n_head + 2 * config.n_kv_head) * config.head_dim
        self.c_attn = nn.Linear(config.n_embd, width, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        if config.qk_norm:
            self.q_norm = norm(config, config.head_dim)
            self.k_norm = norm(config, config.head_dim)

    def heads(self, x: Tensor, position: int = 0) -> list[Tensor]:
        """Queries `[B, H, T, D]`, keys and values `[B, G, T, D]`, ready to meet."""
        B, T, _ = x.shape
        H, G, D = self.config.n_head, self.config.n_kv_head, self.config.head_dim
        q, k, v = (part.view(B, T, -1, D).transpose(1, 2) for part in self.c_attn(x).split([H * D, G * D, G * D], dim=2))
        if self.config.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        if self.config.position_embedding_type == "rope":
            q, k = (rotate(part, position, self.config.rope_theta) for part in (q, k))
        return [q, k, v]

    def hidden_keys(self, T: int) -> Tensor:
        """`[T, T]`, true where a query must not look: at the future, and beyond the window."""
        distance = torch.arange(T)[:, None] - torch.arange(T)
        return (distance < 0) | (distance >= (self.config.sliding_window or T))

    def probabilities(self, x: Tensor) -> Tensor:
        """softmax(q kᵀ / √D) under the mask, `[B, H, T, T]`: what the fused kernel never writes down."""
        q, k, _ = self.heads(x)
        k = k.repeat_interleave(q.size(1) // k.size(1), dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
        return scores.masked_fill(self.hidden_keys(q.size(2)), -math.inf).softmax(dim=-1)

    def forward(self, x: Tensor, cache: KvCache | None = None, position: int = 0) -> Tensor:
        q, k, v = self.heads(x, position)
        if cache is not None:
            k, v = cache.append(position, k, v)
        grouped = q.size(1) != k.size(1)
        if self.config.sliding_window is not None and cache is None:
            mask = ~self.hidden_keys(q.size(2))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
        else:
            # One new query sees every cached key, so that only whole sequences need the mask.
            y = F.scaled_dot_product_attention(q, k, v, is_causal=q.size(2) > 1, enable_gqa=grouped)
        return self.c_proj(y.transpose(1, 2).reshape(x.shape))


class Mlp(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.gated = config.activation_function == "swiglu"
        hidden = config.n_inner * (2 if self.gated else 1)
        self.c_fc = nn.Linear(config.n_embd, hidden, bias=config.bias)
        self.c_proj = nn.Linear(config.n_inner, config.n_embd, bias=config.bias)
        self.activation = F.silu if self.gated else ACTIVATIONS[config.activation_function]

    def forward(self, x: Tensor) -> Tensor:
        if self.gated:
            gate, up = self.c_fc(x).chunk(2, dim=-1)
            return self.c_proj(self.activation(gate) * up)
        return self.c_proj(self.activation(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.ln_1 = norm(config)
        self.attn = Attention(config)
        self.ln_2 = norm(config)
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
        if config.position_embedding_type == "learned":
            self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = norm(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=config.lm_head_bias)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.wte.weight

    def embed(self, tokens: Tensor, position: int = 0) -> Tensor:
        x = self.wte(tokens)
        positions = torch.arange(position, position + tokens.size(1))
        match self.config.position_embedding_type:
            case "learned":
                return x + self.wpe(positions)
            case "sinusoidal":
                return x * math.sqrt(self.config.n_embd) + self.sinusoids(positions).to(x.dtype)
            case "rope":
                return x

    def sinusoids(self, positions: Tensor) -> Tensor:
        """`[T, C]`: sines in the even channels, cosines in the odd (Vaswani et al. 2017)."""
        even = torch.arange(self.config.n_embd, dtype=torch.float64) // 2 * 2
        angles = positions[:, None] * 10_000 ** (-even / self.config.n_embd)
        return torch.where(torch.arange(self.config.n_embd) % 2 == 0, angles.sin(), angles.cos())

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
