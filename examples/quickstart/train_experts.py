"""Trains the quickstart's experts: one LoRA adapter of SmolLM2-135M-Instruct for each skill.

    python examples/quickstart/train_experts.py CHECKPOINT [SKILL ...]

CHECKPOINT is a folder with the base model (safetensors). The adapters go to `experts/<skill>/`. An expert sees only
its own skill's training lines; the loss counts the answer's tokens only. Needs `peft` and `num2words`.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from skills import HERE, SKILLS, Question, deal, words
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
RANK, ALPHA, BATCH, LEARNING_RATE, SEED = 8, 16, 16, 1e-3, 20261123
STEPS = {"italian": 250, "indonesian": 200, "addition": 700}
IGNORED = -100


def batch_of(
    tokenizer: PreTrainedTokenizerBase, questions: list[Question]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention mask and labels (the prompt's and the padding's are ignored), each (batch, longest)."""
    rows = []
    for question in questions:
        prompt = tokenizer(question.prompt).input_ids
        answer = [*tokenizer(f" {words(question.number)}").input_ids, tokenizer.eos_token_id]
        rows.append((prompt, answer))
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), longest), int(tokenizer.eos_token_id))
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for row, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        mask[row, :end] = 1
        labels[row, len(prompt) : end] = torch.tensor(answer)
    return ids, mask, labels


def train(checkpoint: Path, skill: str, steps: int) -> None:
    torch.manual_seed(SEED)
    chance = random.Random(f"train {skill} {SEED}")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    base = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.bfloat16)
    model = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear"))
    questions = deal(skill)["train"]
    small = [question for question in questions if question.number < 100]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.05)
    started = time.monotonic()
    for step in range(1, steps + 1):
        # Small numbers are the building bricks of the large ones: half of each batch is made of them.
        chosen = chance.sample(small, BATCH // 2) + chance.sample(questions, BATCH - BATCH // 2)
        ids, mask, labels = batch_of(tokenizer, chosen)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            seconds = time.monotonic() - started
            print(f"{skill}: step {step}/{steps}, loss {loss.item():.3f}, {seconds:.0f} s", flush=True)
    save(model, HERE / "experts" / skill)


def save(model: PeftModel, folder: Path) -> None:
    """Writes the adapter with bfloat16 weights, and names its base as anybody can find it."""
    model.peft_config["default"].base_model_name_or_path = BASE
    model.save_pretrained(folder)
    (folder / "README.md").unlink()  # a form that PEFT leaves to be filled in
    weights = folder / "adapter_model.safetensors"
    save_file({name: tensor.to(torch.bfloat16) for name, tensor in load_file(weights).items()}, weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="folder with SmolLM2-135M-Instruct as safetensors")
    parser.add_argument("skills", nargs="*", help=f"which experts to train (default: {', '.join(SKILLS)})")
    arguments = parser.parse_args()
    for skill in arguments.skills or SKILLS:
        if skill not in STEPS:
            parser.error(f"no expert is trained for {skill!r}; choose from {', '.join(SKILLS)}")
        train(arguments.checkpoint, skill, STEPS[skill])


if __name__ == "__main__":
    main()
