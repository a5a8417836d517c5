"""The tokenizer's files in a written model: the template's, or those of the recipe's own vocabulary."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ..chat_templates import chat_template, write_template
from ..checkpoints.base import read_json
from ..output_config import renumbered
from ..plan import Plan
from ..quiet import no_progress_bars

GENERATION = "generation_config.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
)


def write_tokenizer(plan: Plan, folder: Path) -> None:
    """Writes tokenizer, chat template and generation settings.

    Raises:
        ConfigurationError: the recipe's chat template is none.
    """
    template = plan.template.directory
    if plan.vocabulary is None:
        for name in (*TOKENIZER_FILES, GENERATION):
            if (template / name).is_file():
                shutil.copyfile(template / name, folder / name)
    else:
        with no_progress_bars():
            plan.vocabulary.tokenizer.save_pretrained(folder)
        if (template / GENERATION).is_file():
            settings = renumbered(read_json(template / GENERATION), plan.vocabulary.rows[plan.recipe.merged[0]])
            (folder / GENERATION).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    if plan.recipe.chat_template is not None:
        merged = [plan.sources[reference] for reference in plan.recipe.merged]
        text = chat_template(plan.recipe.chat_template, merged)
        if text is not None:
            write_template(text, folder)
