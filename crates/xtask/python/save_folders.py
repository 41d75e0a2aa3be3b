"""Model folders as `transformers` saves them, for Inkling to open.

    python save_folders.py TOKENIZER_FOLDER OUT

writes OUT/<case>: a small random model of each family that Inkling understands, its weights stored as the case says, in one file or in
several, with the tokenizer of TOKENIZER_FOLDER. Prints the cases, one per line.
"""

import argparse
import shutil
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen3Config,
)
from transformers.utils import logging

CONTEXT = 32
ONE_FILE = "1GB"
SHARDS = "20KB"

# Large enough for every part of the model to show in the loss.
INITIALIZER_RANGE = 0.3


def gpt2(vocabulary: int, **keys) -> PretrainedConfig:
    return GPT2Config(
        vocab_size=vocabulary,
        n_positions=CONTEXT,
        n_embd=48,
        n_layer=2,
        n_head=4,
        initializer_range=INITIALIZER_RANGE,
        **keys,
    )


def llama(family: type[PretrainedConfig], vocabulary: int, **keys) -> PretrainedConfig:
    """Any of Llama's families: 2 heads of keys for 4 of queries."""
    shape = {"num_key_value_heads": 2, "rms_norm_eps": 1e-5} | keys
    return family(
        vocab_size=vocabulary,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        head_dim=12,
        max_position_embeddings=CONTEXT,
        initializer_range=INITIALIZER_RANGE,
        **shape,
    )


def cases(vocabulary: int):
    """Name, configuration, stored type, largest file."""
    rope = {"rope_type": "default", "rope_theta": 500_000.0}
    window = {"sliding_window": 7}
    return [
        ("gpt2", gpt2(vocabulary), torch.float32, ONE_FILE),
        ("gpt2-f16-shards", gpt2(vocabulary, n_inner=100, activation_function="gelu"), torch.float16, SHARDS),
        ("llama-bf16-shards", llama(LlamaConfig, vocabulary, rope_parameters=rope), torch.bfloat16, SHARDS),
        ("llama-tied-f16", llama(LlamaConfig, vocabulary, tie_word_embeddings=True), torch.float16, ONE_FILE),
        ("llama-mha", llama(LlamaConfig, vocabulary, num_key_value_heads=4), torch.float32, SHARDS),
        ("mistral", llama(MistralConfig, vocabulary, num_key_value_heads=1, **window), torch.float32, ONE_FILE),
        ("qwen3", llama(Qwen3Config, vocabulary), torch.bfloat16, ONE_FILE),
        (
            "qwen3-window",
            llama(Qwen3Config, vocabulary, use_sliding_window=True, max_window_layers=0, **window),
            torch.float32,
            ONE_FILE,
        ),
    ]


def save(tokenizer, folder: Path, config: PretrainedConfig, dtype: torch.dtype, largest: str) -> None:
    torch.manual_seed(1337)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # Norms begin at 1 and biases at 0, which would hide them.
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * INITIALIZER_RANGE)
    shutil.rmtree(folder, ignore_errors=True)
    model.to(dtype).save_pretrained(folder, max_shard_size=largest)
    tokenizer.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    for name, config, dtype, largest in cases(len(tokenizer)):
        save(tokenizer, arguments.out / name, config, dtype, largest)
        print(name)


if __name__ == "__main__":
    main()
