"""What mergekit has registered merges here too: the same tensors, out of mergekit's own code."""

import logging
import subprocess
import sys
from typing import Annotated

import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.contracts import MergeParameters
from heterosis.core.errors import ConfigurationError, PluginError
from heterosis.core.executors import LiveExecutor, resident_model, write_model
from heterosis.core.merge_space import Merge
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.plugins.merge.mergekit_bridge import MergekitBridge
from heterosis.testing.merge_methods import check_merge_method
from safetensors.torch import load_file

pytestmark = pytest.mark.mergekit

RAM = """
merge_method: mergekit/ram
base_model: base
models: [{model: base}, {model: one}, {model: two}]
parameters: {epsilon: 0.05}
dtype: float32
"""
RAMPLUS = """
merge_method: mergekit/ramplus_tl
base_model: base
models:
- {model: one}
- {model: two}
- {model: three}
parameters: {r: 0.3, alpha: [0.1, 0.6]}
dtype: bfloat16
out_dtype: bfloat16
"""
NUSLERP = """
merge_method: mergekit/nuslerp
base_model: base
models:
- {model: one, parameters: {weight: 0.7}}
- {model: two, parameters: {weight: 0.4}}
parameters: {nuslerp_row_wise: true, nuslerp_flatten: false}
dtype: float32
"""
SHARPENED = """
merge_method: sharpened
base_model: base
models:
- {model: one, parameters: {weight: [0.2, 0.9]}}
- {model: two, parameters: {weight: 0.4}}
parameters:
  power:
  - {filter: mlp, value: 3}
  - {value: 2}
dtype: float32
"""


@pytest.fixture
def register():
    """Registers a function as a method of mergekit, as its users do, for one test."""
    from mergekit.merge_methods import registry as theirs
    from mergekit.merge_methods.easy_define import merge_method

    added = []

    def register(function, **options):
        theirs.register(merge_method(function, **options))
        added.append(options["name"])

    yield register
    for name in added:
        theirs._METHODS.pop(name)
    registry.load.cache_clear()


def register_sharpened(register):
    from mergekit.merge_methods.base import BasePolicy, InputContract, PerNonBase, TensorGroup
    from pydantic import Field

    def sharpened(
        group: TensorGroup,
        weight: PerNonBase[float],
        power: Annotated[int, Field(ge=1, le=5)] = 2,
        flavour: str = "plain",
    ) -> torch.Tensor:
        assert flavour == "plain"
        assert type(power) is int
        base = group.base.tensor
        changes = [(entry.tensor - base) * weight[entry.id] for entry in group.non_base]
        return base + sum(change.abs() ** power * change.sign() for change in changes)

    contract = InputContract(base=BasePolicy.REQUIRED, max_inputs=3)
    register(sharpened, name="sharpened", pretty_name="Sharpened Sum", contract=contract)


def planned(text, folder):
    recipe = Recipe.from_yaml(text)
    return plan(recipe, SourceSet(recipe.references[0], recipe.references[1:], folder))


def by_mergekit(text, folder, out):
    import yaml
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    logging.getLogger("mergekit").setLevel(logging.ERROR)
    text = text.replace("mergekit/", "")
    for name in ("base", "one", "two", "three"):
        text = text.replace(f"model: {name}", f"model: {folder / name}")
    configuration = MergeConfiguration.model_validate(yaml.safe_load(text))
    run_merge(configuration, str(out), MergeOptions(quiet=True, write_model_card=False))
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize(
    "text",
    [RAM, RAMPLUS, NUSLERP, NUSLERP.replace("base_model: base", ""), SHARPENED],
    ids=["ram", "ramplus_tl", "a base that may be", "and may not", "registered by a user"],
)
def test_the_same_yaml_gives_the_same_bits(text, checkpoints, tmp_path, register):
    register_sharpened(register)
    made = planned(text, checkpoints)
    write_model(made, tmp_path / "ours")
    ours, theirs = (
        load_file(tmp_path / "ours" / "model.safetensors"),
        by_mergekit(text, checkpoints, tmp_path / "theirs"),
    )
    assert ours.keys() == theirs.keys()
    for source in made.sources.values():
        assert any(not torch.equal(tensor, source.read(name).to(tensor.dtype)) for name, tensor in ours.items())
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_a_bridged_method_goes_live_too(checkpoints, tmp_path):
    made = planned(RAM, checkpoints)
    live = LiveExecutor(resident_model(made.template, torch.float32))
    live.materialise(made)
    write_model(made, tmp_path / "out")
    state = live.model.state_dict()
    for name, tensor in load_file(tmp_path / "out" / "model.safetensors").items():
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize(
    "name", ["mergekit/ram", "mergekit/ramplus_tl", "mergekit/ties", "mergekit/karcher", "mergekit/dare_linear"]
)
def test_bridged_methods_keep_the_contract(name):
    check_merge_method(name)


def test_mergekits_own_version_of_a_native_method_is_under_its_prefix():
    native, theirs = (registry.load("merge_methods", name) for name in ("ties", "mergekit/ties"))
    assert native.__module__ == "heterosis.plugins.merge.ties"
    assert theirs.name == "mergekit/ties"
    assert {spec.name for spec in native.parameters} <= {spec.name for spec in theirs.parameters}


def test_its_parameters_are_read_from_mergekits_declaration(register):
    register_sharpened(register)
    method = registry.load("merge_methods", "sharpened")
    weight, power = method.parameters
    assert (weight.name, weight.scope, weight.default, weight.search) == ("weight", "source", None, (0.0, 1.5))
    assert (power.name, power.scope, power.default, power.low, power.high) == ("power", "shared", 2, 1, 5)
    assert method.source_count == (1, 2)
    assert method.base_required
    with pytest.raises(ConfigurationError, match=r"sharpened: power = 9 is outside \[1, 5\]"):
        Merge("sharpened", power=9)
    genes = Merge("sharpened", power=(1, 4)).genes(["one"], 2)
    assert [gene.name for gene in genes] == ["weight/one", "power"]


def test_a_parameter_that_every_input_has_is_given_to_the_base_too(register):
    from mergekit.merge_methods.base import BasePolicy, InputContract, PerInput, TensorGroup

    def mean(group: TensorGroup, weight: PerInput[float]) -> torch.Tensor:
        return sum(entry.tensor * weight[entry.id] for entry in group.entries)

    register(mean, name="mean_of_all", contract=InputContract(base=BasePolicy.REQUIRED))
    method = registry.load("merge_methods", "mean_of_all")
    assert [(spec.name, spec.scope) for spec in method.parameters] == [("weight", "source"), ("base_weight", "shared")]
    merged = method().merge(
        torch.tensor([1.0]), [torch.tensor([10.0])], MergeParameters({"weight": (2.0,)}, {"base_weight": 3.0})
    )
    assert merged.tolist() == [23.0]


def test_what_a_recipe_cannot_give_is_refused_and_listed_as_such(register):
    from mergekit.merge_methods.base import TensorGroup

    def worded(group: TensorGroup, flavour: str) -> torch.Tensor:
        return group.tensors[0]

    register(worded, name="worded")
    with pytest.raises(PluginError, match="mergekit's 'worded' needs a value of 'flavour', a <class 'str'>"):
        registry.load("merge_methods", "worded")
    (plugin,) = [plugin for plugin in registry.installed() if plugin.name == "worded"]
    assert "needs a value of 'flavour'" in plugin.error


def test_what_only_mergekit_has_is_listed_with_its_origin(register):
    register_sharpened(register)
    found = {plugin.name: plugin for plugin in registry.installed() if plugin.origin == "mergekit 0.1.5"}
    assert found["sharpened"].target.endswith("test_mergekit_bridge:register_sharpened.<locals>.sharpened")
    assert found["sharpened"].error is None
    assert not found.keys() & set(registry.names("merge_methods"))


@pytest.mark.parametrize("name", ["sharpen", "mergekit/sharpen"])
def test_an_unknown_name_is_answered_with_the_nearest(name, register):
    register_sharpened(register)
    with pytest.raises(PluginError, match=r"no merge method 'sharpen'. Did you mean 'sharpened'\?"):
        registry.load("merge_methods", name)


def test_without_mergekit_the_prefix_says_what_to_install(monkeypatch, register):
    register_sharpened(register)
    registry.load.cache_clear()
    monkeypatch.setattr(MergekitBridge, "origin", "")
    with pytest.raises(PluginError, match=r"'mergekit/ram' needs mergekit\. .*pip install \"heterosis\[mergekit\]\""):
        registry.load("merge_methods", "mergekit/ram")
    with pytest.raises(PluginError, match="no merge method 'sharpened'"):
        registry.load("merge_methods", "sharpened")
    assert not [plugin for plugin in registry.installed() if "mergekit" in plugin.origin]


def test_a_mergekit_that_does_not_work_is_told_and_breaks_nothing_else(monkeypatch):
    registry.load.cache_clear()
    monkeypatch.setitem(sys.modules, "mergekit.merge_methods.registry", None)
    with pytest.raises(PluginError, match=r"mergekit 0.1.5 cannot be bridged \(0.1.5 can\): ModuleNotFoundError"):
        registry.load("merge_methods", "mergekit/ram")
    assert "ties" in {plugin.name for plugin in registry.installed()}


def test_mergekit_is_not_imported_for_a_native_method():
    program = (
        "import sys; from heterosis.core import registry; registry.load('merge_methods', 'ties'); "
        "registry.names('merge_methods'); print('mergekit' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
