"""A folder that Inkling's trainer wrote, opened by `transformers` as if it came from anywhere.

    python check_folder.py open DIR [--text FILE]
    python check_folder.py loss DIR FILE [--split val|train|all]

`open` fails unless the model loads with no key missing, unexpected or of another shape, the tokenizer gives back the text
that it encoded, and, where DIR holds `expected_logits.safetensors` (`tokens` int32 [B, T], `logits` float32 [B, T, V]), the
logits agree.

`loss` prints, as one JSON object, the `full` protocol of `trainer eval`: the split's windows of T tokens follow each other
without overlap, window i reads tokens [iT, iT + T) and predicts those one further on, the last one is as long as the text
allows, and the loss is the mean over all predicted tokens. The text is split in tokens: validation is what lies behind the
first floor(0.9 n).
"""

import argparse
import json
import math
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

SAMPLE = "the end.\n"
WINDOWS_PER_BATCH = 32


def open_model(folder: Path, dtype: torch.dtype):
    """The model in eval mode; exits, naming the keys, if the file and the architecture disagree."""
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    problems = {kind: sorted(map(str, keys)) for kind, keys in report.items() if keys}
    if problems:
        sys.exit(f"{folder}: the weights do not fit the configuration: {problems}")
    return model.eval()


def check_tokenizer(folder: Path, text: str) -> int:
    """Encodes and decodes `text`; returns the number of tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.encode(text)
    decoded = tokenizer.decode(ids)
    if decoded != text:
        at = next((i for i, (a, b) in enumerate(zip(text, decoded)) if a != b), min(len(text), len(decoded)))
        sys.exit(
            f"{folder}: {type(tokenizer).__name__} does not give the text back: from character {at} on it reads "
            f"{decoded[at:at + 20]!r} instead of {text[at:at + 20]!r}"
        )
    return len(ids)


def check_logits(model, folder: Path) -> str:
    file = folder / "expected_logits.safetensors"
    if not file.exists():
        return "no expected logits to compare"
    expected = load_file(file)
    with torch.inference_mode():
        logits = model(expected["tokens"].long()).logits
    torch.testing.assert_close(logits, expected["logits"], rtol=1e-4, atol=1e-5)
    return f"logits agree to {(logits - expected['logits']).abs().max():.1e}"


def open_folder(folder: Path, text: str) -> None:
    model = open_model(folder, torch.float32)
    logits = check_logits(model, folder)
    tokens = check_tokenizer(folder, text)
    print(f"{folder}: {type(model).__name__} opens, {logits}, {tokens} tokens encoded and decoded")


def split_of(tokens: Tensor, split: str) -> Tensor:
    boundary = len(tokens) * 9 // 10
    return {"train": tokens[:boundary], "val": tokens[boundary:], "all": tokens}[split]


def full_loss(model, tokens: Tensor, context: int) -> float:
    """Mean cross-entropy in nats over every window of `context` tokens."""
    predicted = len(tokens) - 1
    whole = predicted // context
    inputs = tokens[: whole * context].view(whole, context)
    targets = tokens[1 : whole * context + 1].view(whole, context)
    batches = list(zip(inputs.split(WINDOWS_PER_BATCH), targets.split(WINDOWS_PER_BATCH))) if whole else []
    if predicted % context:
        batches.append((tokens[whole * context : -1].unsqueeze(0), tokens[whole * context + 1 :].unsqueeze(0)))
    total = 0.0
    with torch.inference_mode():
        for x, y in batches:
            total += F.cross_entropy(model(x).logits.flatten(0, 1), y.flatten(), reduction="sum").item()
    return total / predicted


def print_loss(folder: Path, text: str, split: str) -> None:
    model = open_model(folder, torch.float64)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = split_of(torch.tensor(tokenizer.encode(text)), split)
    if len(tokens) < 2:
        sys.exit(f"the {split} split has {len(tokens)} tokens: predicting one needs at least two")
    loss = full_loss(model, tokens, model.config.max_position_embeddings)
    result = {"protocol": "full", "split": split, "loss": loss, "perplexity": math.exp(loss), "tokens": len(tokens) - 1}
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    opening = commands.add_parser("open", help="open model and tokenizer, compare logits")
    opening.add_argument("folder", type=Path)
    opening.add_argument("--text", type=Path, help="text for the tokenizer; its characters must be in the vocabulary")
    loss = commands.add_parser("loss", help="print the loss on a text as JSON")
    loss.add_argument("folder", type=Path)
    loss.add_argument("text", type=Path)
    loss.add_argument("--split", choices=["train", "val", "all"], default="val")
    arguments = parser.parse_args()
    if not (arguments.folder / "config.json").is_file():
        sys.exit(f"{arguments.folder}: no config.json here, so this is no model folder")

    logging.disable_progress_bar()
    if arguments.command == "open":
        open_folder(arguments.folder, arguments.text.read_bytes().decode() if arguments.text else SAMPLE)
    else:
        # Bytes, not text mode: newlines must reach the tokenizer as they are in the file.
        print_loss(arguments.folder, arguments.text.read_bytes().decode(), arguments.split)


if __name__ == "__main__":
    main()
