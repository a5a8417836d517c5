"""Draws docs/images/merge-methods/*.png: what the main gene of every merge method does, on tensors small enough to see.

    python docs/figures/merge_methods.py

Every panel shows results of the installed methods themselves; none redraws a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from merge_panels import choosing, means, spectra, statistics, style, thinning

IMAGES = Path(__file__).parent.parent / "images" / "merge-methods"

FAMILIES: Mapping[str, Mapping[str, Callable[[Axes], None]]] = {
    "means": means.PANELS,
    "thinning": thinning.PANELS,
    "choosing": choosing.PANELS,
    "spectra": spectra.PANELS,
    "statistics": statistics.PANELS,
}
"""For each sheet (an image), its panels by title; a title begins with the name of the method."""

MOST_COLUMNS = 4


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for family, panels in FAMILIES.items():
        rows = -(-len(panels) // MOST_COLUMNS)
        columns = -(-len(panels) // rows)
        with plt.rc_context(style.SETTINGS):
            figure, grid = plt.subplots(rows, columns, figsize=(3.1 * columns, 3.15 * rows), layout="constrained")
            places = list(grid.flat)
            for place, (title, draw) in zip(places, panels.items(), strict=False):
                style.titled(place, title)
                draw(place)
            for empty in places[len(panels) :]:
                empty.set_axis_off()
            figure.savefig(IMAGES / f"{family}.png", dpi=140)
            plt.close(figure)
        print(IMAGES / f"{family}.png")


if __name__ == "__main__":
    main()
