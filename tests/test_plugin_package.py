"""The example plugin, installed as anybody would install it, works without a change to the project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugin"

PROGRAM = """
import json
import sys
from pathlib import Path
import heterosis as ht
from heterosis.core import registry
from heterosis.core.executors import LiveExecutor, resident_model, write_model
from heterosis.core.merge_space import Merge
from heterosis.core.plan import plan
from heterosis.core.space import Space
from heterosis.testing.merge_methods import check_merge_method
from heterosis.testing.objectives import check_objective
from safetensors.torch import load_file
import torch

found = {(plugin.kind, plugin.name): plugin for plugin in registry.installed()}
for key in (("merge_methods", "median"), ("objectives", "task_vector_mass")):
    print(*key, found[key].origin, found[key].error)
check_merge_method("median")
check_objective("task_vector_mass")

checkpoints, out = map(Path, sys.argv[1:])
space = Space("base", ["one", "two", "lora-one"], Merge(["median", "ties"], groups="layers:2"), checkpoints)
low, high = space.genes.bounds()
genome = space.genes.decode([0.5, *(low + (high - low) * 0.6)[1:]])
recipe = space.decode(genome)
print(recipe.merge_method, len(genome), "genes")
planned = plan(recipe, space.checkpoints)
live = LiveExecutor(resident_model(planned.template, torch.float32))
print(live.materialise(planned) == len(planned.tensors), "materialised")
write_model(planned, out)
state = live.model.state_dict()
tensors = load_file(out / "model.safetensors")
print(all(torch.equal(tensor, state[name]) for name, tensor in tensors.items()), "same bits")
base = space.checkpoints["base"]
print(all(not torch.equal(tensor, base.read(name)) for name, tensor in tensors.items() if "proj" in name), "merged")

items = out.parent / "words.jsonl"
items.write_text("".join(
    json.dumps({"id": str(n), "prompt": f"number {n} is", "choices": ["one", "two", "three"], "answer": n % 3}) + "\\n"
    for n in range(12)
))
goals = [ht.maximize("accuracy", task=str(items), items=4), ht.minimize("task_vector_mass")]
study = ht.Study("plugin", space, goals, optimizer="nsga2", seed=3, storage=out.parent / "plugin.db")
study.optimize(candidates=8)
print(sorted({candidate.recipe.merge_method for candidate in study.candidates}), "searched")
masses = [candidate.measurements["search"]["task_vector_mass"].mean for candidate in study.candidates]
print(len(masses) == 8 and len(set(masses)) > 1, "measured")
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Variables under which Python finds the plugin, installed into a folder of its own from a copy of its source."""
    folder = tmp_path_factory.mktemp("installed")
    # A build writes beside the source that it builds, and the project is not to be touched.
    source = shutil.copytree(EXAMPLE, folder / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*command, "--target", str(folder / "site"), str(source)], os.environ)
    return {**os.environ, "PYTHONPATH": str(folder / "site"), "PYTHONDONTWRITEBYTECODE": "1"}


def run(command, environment, folder=None):
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_installed_plugin_is_found_searched_built_and_checked(environment, checkpoints, tmp_path):
    printed = run([sys.executable, "-c", PROGRAM, str(checkpoints), str(tmp_path / "out")], environment, tmp_path)
    assert printed.splitlines() == [
        "merge_methods median heterosis-example-plugin 0.1.0 None",
        "objectives task_vector_mass heterosis-example-plugin 0.1.0 None",
        "median 4 genes",
        "True materialised",
        "True same bits",
        "True merged",
        "['median', 'ties'] searched",
        "True measured",
    ]


@pytest.mark.slow
def test_its_own_tests_pass(environment, tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    assert " passed" in run([*command, str(EXAMPLE / "tests"), f"--rootdir={tmp_path}"], environment, tmp_path)


def test_the_project_itself_knows_nothing_of_it():
    from heterosis.core import registry

    assert "median" not in registry.names("merge_methods")
