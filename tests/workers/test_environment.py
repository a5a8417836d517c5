"""What is noted of what computed a result."""

import json
import subprocess
import sys

import pytest
import torch
from heterosis.core.genome import content_hash
from heterosis.core.merge_space import Merge
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.workers.environment import environment

AGAIN = """
import json, sys
from pathlib import Path
import torch
from heterosis.core.study_spec import StudySpec
from heterosis.workers.environment import environment
torch.set_num_threads(int(sys.argv[3]))
spec = StudySpec.from_dict(json.loads(sys.argv[1]), Path(sys.argv[2]))
print(json.dumps(environment(spec, "cpu")))
"""


@pytest.fixture
def spec(checkpoints, tmp_path):
    space = Space(str(checkpoints / "base"), [str(checkpoints / name) for name in ("one", "two")], Merge("ties"))
    tasks = {"words": TaskSpec("multiple_choice", files={"search": "search.jsonl"})}
    objectives = (ObjectiveSpec("accuracy", "maximize", ("words",)),)
    watch = (ObjectiveSpec("bytes", "minimize"),)
    return StudySpec("tiny", space, tasks, objectives, watch, optimizer="random", folder=tmp_path)


def test_it_says_what_the_numbers_may_depend_on(spec):
    found = environment(spec, "cpu")
    assert set(found["code"]) == {"heterosis", "heterosis_sha256"}
    assert set(found["plugins"]) == {
        "merge_methods/ties",
        "tasks/multiple_choice",
        "objectives/accuracy",
        "objectives/bytes",
        "optimizers/random",
    }
    assert set(found["plugins"].values()) == {f"heterosis {found['code']['heterosis']}"}
    assert {"torch", "transformers", "numpy", "safetensors", "tokenizers"} <= set(found["libraries"])
    assert found["device"] == {"type": "cpu"}
    assert found["dtype"] == {"arithmetic": "float32", "model": "float32"}
    assert found["settings"]["threads"] == torch.get_num_threads()
    assert found["settings"]["deterministic_algorithms"] is False
    assert found["processor"]["name"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_two_processes_have_the_same_unless_something_differs(spec):
    content = json.dumps(spec.to_dict())

    def asked(threads):
        line = [sys.executable, "-c", AGAIN, content, str(spec.folder), str(threads)]
        return json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)

    one, two, three = asked(1), asked(1), asked(2)
    assert content_hash(one) == content_hash(two)
    assert content_hash(one) != content_hash(three)
    assert {key for key in one if one[key] != three[key]} == {"settings"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_named_with_its_driver(spec):
    found = environment(spec, "cuda:0")["device"]
    assert found["type"] == "cuda"
    assert found["name"] == torch.cuda.get_device_name(0)
    assert found["cuda"] == torch.version.cuda
