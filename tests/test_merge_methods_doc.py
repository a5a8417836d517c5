"""docs/merge-methods.md lists the installed merge methods with their papers and genes, and draws each of them."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from heterosis.core import registry

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "merge-methods.md").read_text()
ROW = re.compile(r"^\| `([a-z_]+)` \| (.+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
ROWS = {match[1]: match for match in ROW.finditer(TEXT)}


def own_methods():
    names = registry.names("merge_methods")
    methods = {name: registry.load("merge_methods", name) for name in names}
    return {name: method for name, method in methods.items() if method.__module__.startswith("heterosis.")}


def described(spec):
    owner = " of each source" if spec.scope == "source" else ""
    default = "required" if spec.default is None else str(spec.default).lower()
    default = (
        f"{spec.default:g}" if isinstance(spec.default, int | float) and type(spec.default) is not bool else default
    )
    searched = f", searched {spec.search[0]:g} to {spec.search[1]:g}" if spec.search else ""
    return f"`{spec.name}`{owner}: {default}{searched}"


@pytest.fixture(scope="module")
def families():
    """The sheets of the script that draws the figures, by name."""
    folder = str(DOCS / "figures")
    spec = importlib.util.spec_from_file_location("merge_methods_figures", DOCS / "figures" / "merge_methods.py")
    script = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(script)
    finally:
        sys.path.remove(folder)
        for name in [name for name in sys.modules if name.partition(".")[0] == "merge_panels"]:
            del sys.modules[name]
    return script.FAMILIES


def test_every_installed_method_has_a_row_and_every_row_a_method():
    assert set(ROWS) == set(own_methods())
    assert len(ROW.findall(TEXT)) == len(ROWS)
    assert "| `mergekit/NAME` |" in TEXT


@pytest.mark.parametrize("name", own_methods())
def test_a_row_tells_genes_and_paper(name):
    method = own_methods()[name]
    assert ROWS[name][4] == ("<br>".join(map(described, method.parameters)) or "none")
    assert method.paper in ROWS[name][3]


def test_every_method_is_drawn_on_a_sheet_below_its_table(families):
    sections = TEXT.split("\n## ")[1:]
    shown = {
        image: section for section in sections for image in re.findall(r"\]\(images/merge-methods/(\w+).png\)", section)
    }
    assert set(shown) == set(families)
    for family, panels in families.items():
        assert (DOCS / "images" / "merge-methods" / f"{family}.png").exists()
        drawn = {title.partition(":")[0].strip() for title in panels}
        assert drawn == {match[1] for match in ROW.finditer(shown[family])}
