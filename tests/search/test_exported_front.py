"""Every candidate of a search over bit-widths is exported to the targets that allow it, and is what was measured."""

import heterosis as ht
import pytest
import torch
from heterosis.core import registry
from heterosis.core.errors import ConfigurationError
from heterosis.core.quiet import no_progress_bars
from heterosis.fitness.engine_figures import weight_bytes
from heterosis.fitness.verification import export_verified
from heterosis.testing.tiny import tiny_model, tiny_tokenizer

pytestmark = pytest.mark.end_to_end

SEARCHED = {
    "compressed-tensors": ["none", "int2-g16", "int3-g32-asym", "int4-channel", "fp8_e4m3", "mxfp4", "nvfp4"],
    "gguf": ["none", "q4_0", "q4_1", "q5_0", "q8_0", "mxfp4_ocp"],
}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Three bfloat16 models whose matrices 32 divides."""
    folder = tmp_path_factory.mktemp("wide")
    for seed, name in enumerate(("base", "one", "two")):
        model = tiny_model(hidden_size=64, intermediate_size=96)
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters() if seed else ():
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
        with no_progress_bars():
            model.to(torch.bfloat16).save_pretrained(folder / name)
        tiny_tokenizer().save_pretrained(folder / name)
    return folder


@pytest.fixture(params=SEARCHED)
def searched(request, wide, tmp_path, words):
    quantize = ht.Quantize(levels=SEARCHED[request.param], target=request.param, budget="190kB")
    merge = ht.Merge("linear", weight=(0.0, 1.5))
    space = ht.Space(str(wide / "base"), [str(wide / "one"), str(wide / "two")], merge, tmp_path, quantize=quantize)
    goals = [ht.maximize("accuracy", task=words, items=6), ht.minimize("bytes"), ht.minimize("bits")]
    goals.append(ht.minimize("memory"))
    study = ht.Study("bits", space, goals, storage=tmp_path / "a.db", optimizer="nsga2", seed=3, finalists=1)
    with torch.random.fork_rng():
        yield study.optimize(candidates=6), request.param
    study.close()


def test_every_candidate_is_on_disk_what_it_was_in_the_search(searched, tmp_path):
    study, target = searched
    exported = dict.fromkeys(SEARCHED, 0)
    for number, candidate in enumerate(study.candidates):
        foretold = candidate.measurements["search"]["bytes"].mean
        assert foretold <= 190_000
        for name in SEARCHED:
            plan, replaced = candidate.export_plan(name)
            folder = tmp_path / f"{number}-{name}"
            figures = export_verified(registry.load("exporters", name)(), plan, folder, measure=False)
            assert figures.bytes == weight_bytes(folder)
            if name == target:
                assert not replaced
                assert figures.bytes == foretold
            exported[name] += 1
    assert set(exported.values()) == {6}


def test_what_an_engine_does_is_noted_with_the_candidate(searched, tmp_path):
    study, target = searched
    best = study.best()
    folder = best.export(tmp_path / "best", target)
    (noted,) = best.exports
    assert noted["format"] == target
    assert noted["path"] == str(folder.resolve())
    assert noted["bytes"] == best.measurements["search"]["bytes"].mean
    assert noted["decode_speed"] > 0
    assert noted["prefill_ms"] > 0
    assert noted["memory"] > 0
    assert [artifact.size_bytes for artifact in study.store.artifacts.of(best.record.id)] == [noted["bytes"]]


def test_a_folder_in_use_is_refused_before_work(searched, tmp_path):
    study, target = searched
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("!")
    with pytest.raises(ConfigurationError, match="exists already"):
        study.best().export(tmp_path / "mine", target)
    assert study.best().exports == []
