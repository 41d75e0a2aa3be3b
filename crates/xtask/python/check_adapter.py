"""LoRA against PEFT, both ways: what the trainer writes gives the same logits in PEFT, and what PEFT writes is merged to PEFT's own merge.

    python check_adapter.py PATH_OF_TRAINER

Needs, beside requirements.txt, peft==0.21.2 with accelerate and psutil.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

TEXT = "".join(f"Line {i}: the {['cat', 'dog', 'owl'][i % 3]} sees the {i * i % 11}.\n" for i in range(200))
OTHER = "".join(f"{i * i % 11} is what the {['cat', 'dog', 'owl'][i % 3]} has seen.\n" for i in range(200))
SMALL = ["n_layer=2", "n_embd=32", "n_head=4", "n_positions=16", "eval_steps=20", "dropout=0"]
LLAMA = [
    "position_embedding_type=rope", "normalization=rmsnorm", "activation_function=swiglu", "bias=false", "n_kv_head=2",
    "tie_word_embeddings=false",
]
BLOCK_MATRICES = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj", "_proj"]


def model_of(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def rounded(model):
    """The base as the trainer keeps it: matrices of blocks in float16."""
    for name, parameter in model.named_parameters():
        if any(f"{matrix}.weight" in name for matrix in BLOCK_MATRICES):
            parameter.data = parameter.data.half().float()
    return model


def logits(model):
    tokens = torch.arange(16).reshape(1, 16) % 20
    with torch.no_grad():
        return model(tokens).logits


def compare(what, ours, theirs):
    error, size = (ours - theirs).abs().max().item(), theirs.abs().max().item()
    print(f"{what}: logits up to {size:.3f}, off by {error:.1e}")
    assert error < 1e-5 * max(size, 1), what


def main(trainer):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)

        def run(*arguments):
            subprocess.run([trainer, *map(str, arguments)], check=True, cwd=folder, capture_output=True)

        (folder / "text.txt").write_text(TEXT + OTHER)
        (folder / "other.txt").write_text(OTHER)
        for name, sets, theirs in [("gpt2", [], ["c_attn"]), ("llama", LLAMA, ["q_proj", "v_proj", "up_proj"])]:
            run("train", "--device", "cpu", "--data", "text.txt", "--out", name, "--steps", 40, "--set", *SMALL, *sets)
            base = folder / name / "best"
            run(
                "train", "--device", "cpu", "--from", base, "--data", "other.txt", "--out", f"{name}-tuned", "--steps", 40, "--lr", 1e-2,
                "--lora-rank", 4, "--lora-targets", "c_attn,c_proj,c_fc",
            )
            run("merge", "--model", f"{name}-tuned", "--out", f"{name}-merged")
            merged = logits(model_of(folder / f"{name}-merged"))
            adapted = PeftModel.from_pretrained(rounded(model_of(base)), folder / f"{name}-tuned" / "best").eval()
            compare(f"{name}, adapters of the trainer", merged, logits(adapted))
            assert (merged - logits(rounded(model_of(base)))).abs().max() > 0.05, "the adapters change nothing"

            torch.manual_seed(1)
            config = LoraConfig(r=3, lora_alpha=5, target_modules=theirs, fan_in_fan_out=name == "gpt2", task_type="CAUSAL_LM")
            peft = get_peft_model(rounded(model_of(base)), config).eval()
            for parameter_name, parameter in peft.named_parameters():
                if "lora_B" in parameter_name:
                    torch.nn.init.normal_(parameter, std=0.3)
            peft.save_pretrained(folder / f"{name}-peft")
            run("merge", "--model", f"{name}-peft", "--base", base, "--out", f"{name}-peft-merged")
            compare(f"{name}, adapters of PEFT", logits(model_of(folder / f"{name}-peft-merged")), logits(peft))


main(Path(sys.argv[1]).resolve())
