"""Plugins are found through entry points; a bad one is reported by name and hurts no other."""

import sys

import pytest
from heterosis.core import registry
from heterosis.core.contracts import MergeMethod
from heterosis.core.errors import PluginError

FINE = """
from heterosis.core.contracts import MergeMethod

class Fine(MergeMethod):
    name = "fine"
    base_required = False

    def merge(self, base, sources, parameters):
        return sources[0].clone()
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts distributions on the path: a name, its entry points of `heterosis.merge_methods`, and a module's text."""

    modules = []

    def install(distribution, points, source=""):
        folder = tmp_path / distribution
        info = folder / f"{distribution}-1.2.dist-info"
        info.mkdir(parents=True)
        module = distribution.replace("-", "_")
        (folder / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = [f"{name} = {module}:{target}" for name, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[heterosis.merge_methods]", *lines]) + "\n")
        modules.append(module)
        monkeypatch.syspath_prepend(folder)
        forget()

    def forget():
        registry._points.cache_clear()
        registry.load.cache_clear()

    yield install
    monkeypatch.undo()
    forget()
    for module in modules:
        sys.modules.pop(module, None)


def found(name):
    return [plugin for plugin in registry.installed() if plugin.kind == "merge_methods" and plugin.name == name]


def test_the_built_in_merge_methods_are_found_with_their_origin():
    names = {"linear", "slerp", "task_arithmetic", "ties", "dare_linear", "dare_ties", "passthrough"}
    assert names <= set(registry.names("merge_methods"))
    for name in names:
        assert issubclass(registry.load("merge_methods", name), MergeMethod)
        (plugin,) = found(name)
        assert plugin.origin.startswith("heterosis ")
        assert plugin.error is None


def test_a_third_partys_plugin_is_found_with_its_origin(install):
    install("somebodys-merges", {"fine": "Fine"}, FINE)
    assert registry.load("merge_methods", "fine").name == "fine"
    assert [(plugin.origin, plugin.target, plugin.error) for plugin in found("fine")] == [
        ("somebodys-merges 1.2", "somebodys_merges:Fine", None)
    ]


def test_an_unknown_name_or_kind_is_answered_with_the_nearest():
    with pytest.raises(PluginError, match=r"no merge method 'tise'. Did you mean 'ties'\? Valid names: .*slerp"):
        registry.load("merge_methods", "tise")
    with pytest.raises(PluginError, match=r"no plugin kind 'merge_method'. Did you mean 'merge_methods'"):
        registry.names("merge_method")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import a_package_that_nobody_has", "No module named 'a_package_that_nobody_has'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", r"SystemExit\(3\)"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "has no attribute 'Broken'"),
        ("Broken = 3", "is not a subclass of MergeMethod"),
        ("class Broken: pass", "is not a subclass of MergeMethod"),
        (FINE.replace("def merge", "def marge").replace("Fine", "Broken"), "lacks merge"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_error_and_breaks_no_other(install, source, why):
    install("brokenmerges", {"broken": "Broken"}, source)
    (plugin,) = found("broken")
    assert plugin.origin == "brokenmerges 1.2"
    with pytest.raises(PluginError, match=rf"'broken' \(brokenmerges:Broken.*{why}") as raised:
        registry.load("merge_methods", "broken")
    assert plugin.error == str(raised.value)
    assert registry.load("merge_methods", "ties").name == "ties"
    assert [other.error for other in found("ties")] == [None]


def test_a_name_that_two_distributions_claim_belongs_to_neither(install):
    install("first", {"mine": "Fine"}, FINE)
    install("second", {"mine": "Fine"}, FINE)
    with pytest.raises(PluginError, match=r"'mine' is offered by (first|second) 1.2 and .* 1.2; uninstall one"):
        registry.load("merge_methods", "mine")
    assert {plugin.origin for plugin in found("mine")} == {"first 1.2", "second 1.2"}
    assert all("offered by" in plugin.error for plugin in found("mine"))


def test_nobody_can_take_the_place_of_a_built_in_unseen(install):
    install("usurper", {"ties": "Fine"}, FINE)
    with pytest.raises(PluginError, match=r"'ties' is offered by .*usurper 1.2"):
        registry.load("merge_methods", "ties")


def test_one_distribution_found_twice_is_one(install, tmp_path, monkeypatch):
    install("twice", {"fine": "Fine"}, FINE)
    monkeypatch.syspath_prepend(str(tmp_path / "twice") + "/")
    registry._points.cache_clear()
    assert registry.load("merge_methods", "fine").name == "fine"
    assert len(found("fine")) == 1


def test_what_brings_a_plugin_is_named_with_its_version(install):
    install("somebodys-merges", {"fine": "Fine"}, FINE)
    assert registry.distributions("merge_methods", "fine") == {"somebodys-merges": "1.2"}
    assert list(registry.distributions("merge_methods", "ties")) == ["heterosis"]
    with pytest.raises(PluginError, match="no merge method 'nobodys'"):
        registry.distributions("merge_methods", "nobodys")


@pytest.mark.mergekit
def test_a_bridged_plugin_is_brought_by_its_library_too():
    pytest.importorskip("mergekit")
    assert set(registry.distributions("merge_methods", "mergekit/ties")) == {"heterosis", "mergekit"}
