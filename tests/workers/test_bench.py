"""What is kept warm: studies, within what their devices hold; and what a device is foreseen to need."""

import os

import heterosis as ht
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.workers import bench as module
from heterosis.workers.bench import Bench
from heterosis.workers.devices import device_parts
from heterosis.workers.memory import foreseen_bytes


@pytest.fixture
def described(checkpoints, choice_items, write_lines, tmp_path):
    """`described("a")`: a study as a worker describes it to its evaluating process."""
    words = str(write_lines(tmp_path / "words.jsonl", choice_items(24)))

    def make(name):
        space = ht.Space(
            base=str(checkpoints / "base"),
            sources=[str(checkpoints / "one"), str(checkpoints / "two")],
            merge=ht.Merge("linear"),
        )
        study = ht.Study(name, space, [ht.maximize("accuracy", task=words, items=8)], storage=tmp_path / "a.db")
        study._note_models()
        record, models = study.record, study.store.studies.models(study.record.id)
        study.close()
        versions = dict(record.plugin_versions)
        return {
            "id": record.id,
            "spec": dict(record.spec),
            "versions": versions,
            "models": models,
            "roots": [],
            "folders": {},
        }

    return make


def test_a_study_is_loaded_once(described):
    bench, study = Bench("cpu", 10**12), described("a")
    first = bench.loaded(study)
    assert first.fresh
    assert first.environment["libraries"]["torch"]
    again = bench.loaded(study)
    assert again is first
    assert not again.fresh


def test_the_one_used_longest_ago_makes_room(described, monkeypatch):
    monkeypatch.setattr(module, "foreseen_bytes", lambda spec: 10)
    bench = Bench("cpu", 25)
    a, b, c = (described(name) for name in "abc")
    for study in (a, b, a, c):
        bench.loaded(study)
    assert list(bench._studies) == [a["id"], c["id"]]


def test_one_that_is_larger_than_all_room_is_loaded_alone(described, monkeypatch):
    monkeypatch.setattr(module, "foreseen_bytes", lambda spec: 10)
    bench = Bench("cpu", 5)
    for study in (described("a"), described("b")):
        bench.loaded(study)
    assert len(bench._studies) == 1


def test_what_a_candidate_needs_holds_the_model_and_a_pass(described):
    spec = Bench("cpu", 10**12).loaded(described("a")).evaluator.spec
    model = sum(info.nbytes for info in spec.space.checkpoints[spec.space.base].tensors.values())
    assert model < foreseen_bytes(spec) < model + (2 << 30)


def test_workers_on_the_cpu_share_its_cores_and_memory():
    cores = len(os.sched_getaffinity(0))
    (alone,) = device_parts("cpu")
    assert alone.cores is None
    two = device_parts("cpu", each=2)
    assert two == device_parts("cpu,cpu")
    assert all(len(part.cores) == max(cores // 2, 1) for part in two)
    assert 2 * two[0].memory_bytes <= alone.memory_bytes
    if cores > 1:
        assert not set(two[0].cores) & set(two[1].cores)


def test_devices_that_there_are_not_are_refused():
    with pytest.raises(ConfigurationError, match="there is no device 'cuda:99' here"):
        device_parts("cuda:99")
    with pytest.raises(ConfigurationError, match="give at least one"):
        device_parts("cpu", each=0)
    with pytest.raises(ConfigurationError, match="this machine has"):
        device_parts("cpu", each=100, cores=100)
