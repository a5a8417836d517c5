"""Draws docs/images/searched-bits.png: held-out perplexity by average bits, searched and what it must beat.

python -m benchmarks.searched_bits --only bits --json bits.json
python docs/figures/searched_bits.py bits.json [MORE.json ...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

IMAGE = Path(__file__).parent.parent / "images" / "searched-bits.png"
COLOURS = {"the best uniform": "#999999", "the integer programme": "#56b4e9", "searched": "#d55e00"}
LABELS = {"the best uniform": "best uniform", "the integer programme": "integer programme", "searched": "searched"}


def main() -> None:
    winners = [one for file in sys.argv[1:] for one in json.loads(Path(file).read_text(encoding="utf-8"))["winners"]]
    figure, axes = plt.subplots(figsize=(6, 3.6), dpi=150, layout="constrained")
    budgets = sorted({one["budget"] for one in winners})
    for name, colour in COLOURS.items():
        means = []
        for budget in budgets:
            found = [one[name]["perplexity"] for one in winners if one["budget"] == budget]
            means.append(sum(found) / len(found))
            axes.plot([budget] * len(found), found, "o", color=colour, markersize=4)
        axes.plot(budgets, means, color=colour, label=LABELS[name], linewidth=1.5)
    axes.set_yscale("log")
    axes.set_xticks(budgets)
    ticks = [30, 40, 50, 60, 80, 100]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("budget, bits per weight of the linear layers, scales and zero points counted")
    axes.set_ylabel("perplexity on held-out text")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(IMAGE)
    print(IMAGE)


if __name__ == "__main__":
    main()
