"""The Llama family in `transformers`: the same models as `gpt.Gpt` with rope, rmsnorm, swiglu and no biases, under other names."""

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen3Config, Qwen3ForCausalLM

from gpt import Config, Gpt

FAMILY = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}

NAMES = {
    "wte.weight": "model.embed_tokens.weight",
    "ln_f.weight": "model.norm.weight",
    "lm_head.weight": "lm_head.weight",
    "ln_1.weight": "input_layernorm.weight",
    "ln_2.weight": "post_attention_layernorm.weight",
    "attn.c_proj.weight": "self_attn.o_proj.weight",
    "attn.q_norm.weight": "self_attn.q_norm.weight",
    "attn.k_norm.weight": "self_attn.k_norm.weight",
    "mlp.c_proj.weight": "mlp.down_proj.weight",
}


def state(config: Config, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under Llama's names, the fused matrices taken apart."""
    H, G, D = config.n_head, config.n_kv_head, config.head_dim
    fused = {
        "attn.c_attn.weight": (["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], [H * D, G * D, G * D]),
        "mlp.c_fc.weight": (["mlp.gate_proj", "mlp.up_proj"], [config.n_inner] * 2),
    }
    theirs = {}
    for name, tensor in own.items():
        prefix = ""
        if name.startswith("h."):
            _, layer, name = name.split(".", 2)
            prefix = f"model.layers.{layer}."
        if name in fused:
            parts, sizes = fused[name]
            theirs |= {f"{prefix}{part}.weight": rows for part, rows in zip(parts, tensor.split(sizes))}
        else:
            theirs[prefix + NAMES[name]] = tensor
    return theirs


def build(kind: str, config: Config, model: Gpt) -> nn.Module:
    """The model of `transformers` that computes the same."""
    config_class, model_class = FAMILY[kind]
    window = {"sliding_window": config.sliding_window} if kind == "mistral" else {}
    theirs = model_class(
        config_class(
            vocab_size=config.vocab_size,
            max_position_embeddings=config.n_positions,
            hidden_size=config.n_embd,
            num_hidden_layers=config.n_layer,
            num_attention_heads=config.n_head,
            num_key_value_heads=config.n_kv_head,
            head_dim=config.head_dim,
            intermediate_size=config.n_inner,
            rms_norm_eps=config.layer_norm_epsilon,
            rope_theta=config.rope_theta,
            tie_word_embeddings=config.tie_word_embeddings,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
            attn_implementation="eager",
            **window,
        )
    )
    own = {name: tensor.float() for name, tensor in model.named_parameters()}
    missing, unexpected = theirs.load_state_dict(state(config, own), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    return theirs.eval()


def check(kind: str, config: Config, model: Gpt, tokens: Tensor) -> nn.Module:
    """Fails unless `transformers` gives the same logits, as exactly as its float32 norms let it; returns its model."""
    theirs = build(kind, config, model)
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, model(tokens), rtol=1e-4, atol=1e-5)
    return theirs
