"""Every quantiser beside the library that has it too, on the same weights.

    python -m benchmarks.quantise [--quick] [--json FILE]

The weights are a matrix of a fine-tune of SmolLM2-135M (the first `down_proj` of the quickstart's Italian expert,
576 x 1536, bfloat16). Where a library has the same format and the same rule, nothing may differ; where both search,
errors are compared: of K-quants the squared error, of GPTQ the proxy loss tr((W - Q) H (W - Q)^T). Libraries:
compressed-tensors and gguf; bitsandbytes, llama-cpp-python and llm-compressor where they are installed (the last one
needs an environment of its own; what is missing is named in a line). Times are of quantising and dequantising, the
best of a few, on one thread; memory (not with `--quick`) is what the process grows by on a matrix of 4096 x 4096, in
units of its float32 size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import chain

import torch
from heterosis import StudySpec

from . import quantise_calibrated, quantise_codebook, quantise_gguf, quantise_integer
from .bars import Bar, finish, parser
from .quantise_memory import memory_rows
from .quantise_rows import Row
from .quickstart import QUICKSTART

TENSOR = "model.layers.0.mlp.down_proj.weight"
GPTQ_WITHIN = 1.01
SEARCHES_WITHIN = 1.0


def main() -> None:
    arguments = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    rows = list(compared(weight(), arguments.quick))
    memory = {} if arguments.quick else dict(memory_rows())
    table = [line(row, memory) for row in rows]
    table += [(label, "", "", "", "", f"{size:.1f} x") for label, size in memory.items() if not _named(label, rows)]
    for name, extra in (("llmcompressor", "llm-compressor"), ("bitsandbytes", "bitsandbytes"), ("llama_cpp", "")):
        if find_spec(name) is None:
            print(f"{name} is not installed" + (f': pip install "heterosis[{extra}]"' if extra else ""))
    columns = ("quantiser", "reference", "largest difference", "ms", "theirs", "memory")
    finish("Quantisers beside libraries, one matrix of SmolLM2-135M", columns, table, bars(rows), arguments.json)


def weight() -> torch.Tensor:
    """A matrix of one of the quickstart's experts, bfloat16, shape (576, 1536)."""
    space = StudySpec.from_file(QUICKSTART).space
    return space.checkpoints[space.labelled["italian"]].read(TENSOR).bfloat16()


def compared(matrix: torch.Tensor, quick: bool) -> Iterator[Row]:
    """All rows, ours beside theirs."""
    parts = (quantise_integer, quantise_codebook, quantise_gguf, quantise_calibrated)
    return chain.from_iterable(part.rows(matrix, quick) for part in parts)


def line(row: Row, memory: dict[str, float]) -> Sequence[str]:
    difference = "" if math.isnan(row.difference) else "none" if row.difference == 0 else f"{row.difference:.2g}"
    if row.error_ratio is not None:
        difference = f"error x {row.error_ratio:.5f}"
    theirs = "" if math.isnan(row.reference_seconds) else f"{1000 * row.reference_seconds:.1f}"
    taken = f"{memory[row.quantiser]:.1f} x" if row.quantiser in memory else ""
    return row.quantiser, row.reference, difference, f"{1000 * row.seconds:.1f}", theirs, taken


def bars(rows: Sequence[Row]) -> list[Bar]:
    known = [row for row in rows if not math.isnan(row.difference)]
    gptq = [row for row in known if row.error_ratio is not None and row.quantiser.startswith("gptq:")]
    searched = [row for row in known if row.error_ratio is not None and row not in gptq]
    same = [row for row in known if row.error_ratio is None]
    found = [
        Bar(
            f"largest difference of {len(same)} comparisons that must be equal",
            max(r.difference for r in same),
            at_most=0,
        )
    ]
    for name, of, bound in (
        ("GPTQ's proxy loss", gptq, GPTQ_WITHIN),
        ("K-quants' squared error", searched, SEARCHES_WITHIN),
    ):
        if of:
            found.append(
                Bar(
                    f"{name} over the reference's, the worst of {len(of)}",
                    max(r.error_ratio or 0 for r in of),
                    at_most=bound,
                )
            )
    return found


def _named(label: str, rows: Sequence[Row]) -> bool:
    return any(row.quantiser == label for row in rows)


if __name__ == "__main__":
    main()
