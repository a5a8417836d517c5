"""The README that goes with a written model: what it is made of, and how to make it again."""

from __future__ import annotations

from ..plan import Plan


def model_card(plan: Plan, title: str, weight_bytes: int) -> str:
    """A Hugging Face model card (Markdown with a YAML head) that holds the recipe and the sources' fingerprints."""
    parameters = sum(tensor.info.elements for tensor in plan.tensors)
    sources = "\n".join(
        f"| `{_in_a_cell(reference)}` | `{plan.sources[reference].fingerprint[:16]}` |"
        for reference in plan.recipe.references
    )
    return f"""---
library_name: transformers
tags: [merge, heterosis]
---
# {title}

{parameters:,} parameters, {weight_bytes:,} bytes, merged with `{plan.recipe.merge_method}` by Heterosis from

| checkpoint | fingerprint (SHA-256) |
|---|---|
{sources}

## Recipe

Whoever has these checkpoints can build this model again, bit for bit:

```yaml
{plan.recipe.to_yaml()}```
"""


def _in_a_cell(text: str) -> str:
    return text.replace("|", "\\|")  # a bar ends a cell of the table, even within code
