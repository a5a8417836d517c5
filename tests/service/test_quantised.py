"""Bit-widths from the command line: what is refused before work starts, and exports that say what they are."""

import json

import pytest
import torch
from heterosis.core.quiet import no_progress_bars
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.tiny import tiny_model, tiny_tokenizer

RECIPE = """
merge_method: linear
models: [{model: MODEL, parameters: {weight: 1}}]
dtype: bfloat16
quantize: {target: TARGET, levels: {qkv: LEVEL}}
"""


def space_of(checkpoints, **quantize):
    return {
        "base": str(checkpoints / "base"),
        "sources": [str(checkpoints / "one"), str(checkpoints / "two")],
        "merge": {"method": "task_arithmetic", "weight": [0.0, 1.5]},
        "quantize": quantize,
    }


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("quantize", "reason"),
    [
        ({"bits": [4], "group_size": 32, "target": "compressed-tensors"}, "groups of 32 do not divide its 80 columns"),
        ({"formats": ["mxfp4"], "target": "compressed-tensors"}, "groups of 32 do not divide"),
        ({"formats": ["nvfp4"], "target": "compressed-tensors"}, "set dtype: bfloat16"),
        ({"formats": ["nf4-b16"], "target": "compressed-tensors"}, "bitsandbytes has blocks of"),
        ({"formats": ["ternary-g16"], "target": "compressed-tensors"}, "has no ternary formats"),
        (
            {"bits": [4], "group_size": 16, "target": "compressed-tensors", "fixed": {"embedding": "int8-channel"}},
            "leave it as it is",
        ),
        ({"formats": ["q4_k"], "target": "gguf"}, "256"),
        ({"bits": [4], "group_size": 16, "target": "gguf"}, "GGUF"),
        ({"bits": [4], "target": "safetensors"}, "writes no quantised weights"),
        ({"bits": [4], "target": "compresed-tensors"}, "compressed-tensors"),
        (
            {"levels": ["nf4", "llm_int8:llm-int8"], "target": "bitsandbytes"},
            "one mode in a model, not of llm-int8 and nf4",
        ),
        ({"levels": ["llm-int8"], "target": "bitsandbytes"}, "llm_int8:llm-int8, and not llm-int8"),
        ({"bits": [2, 8], "group_size": 16, "target": "compressed-tensors", "budget": "10kB"}, "smallest legal model"),
        ({"bits": [2, 8], "group_size": 16, "target": "compressed-tensors", "budget": 1.5}, "smallest legal model"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_work(
    tmp_path, checkpoints, write_study, heterosis, command, quantize, reason
):
    write_study(tmp_path, space=space_of(checkpoints, **quantize))
    result = heterosis(tmp_path, command, "study.yaml", code=1)
    said = " ".join((result.stdout + result.stderr).split())
    assert reason in said
    assert not list(tmp_path.glob("*.db"))


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    with no_progress_bars():
        tiny_model(hidden_size=64, intermediate_size=96).to(torch.bfloat16).save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    return folder


def written(wide, folder, target, level):
    text = RECIPE.replace("MODEL", str(wide / "model")).replace("TARGET", target).replace("LEVEL", level)
    (folder / "recipe.yaml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("target", "level"), [("compressed-tensors", "int4-g32"), ("bitsandbytes", "llm_int8:llm-int8")]
)
def test_a_recipe_is_exported_verified_and_measured(tmp_path, wide, heterosis, target, level):
    if target == "bitsandbytes":
        pytest.importorskip("bitsandbytes")
    written(wide, tmp_path, target, level)
    said = heterosis(tmp_path, "export", "--recipe", "recipe.yaml", "out", "--format", target).stdout
    assert "it is the model that was measured" in said
    assert "tokens/s" in said
    config = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    assert config["quant_method"] == target


def test_levels_that_a_format_cannot_hold_are_replaced_and_that_is_said(tmp_path, wide, heterosis):
    written(wide, tmp_path, "compressed-tensors", "int4-g32")
    said = heterosis(tmp_path, "export", "--recipe", "recipe.yaml", "out", "--format", "gguf", "--no-verify").stdout
    assert "gguf cannot hold all of its levels; written instead: int4-g32 as q4_0 (3 groups)" in said
    assert "measured" not in said
    assert "q4_0" in (tmp_path / "out" / "recipe.yaml").read_text()


def test_a_candidates_export_is_noted_with_it(tmp_path, checkpoints, write_study, heterosis):
    quantize = {"bits": [2, 8], "group_size": 16, "target": "compressed-tensors", "budget": 6.0}
    objectives = [{"maximize": "accuracy", "tasks": ["words"]}, {"minimize": "bits"}]
    write_study(tmp_path, space=space_of(checkpoints, **quantize), objectives=objectives, optimizer="nsga2")
    heterosis(tmp_path, "run", "study.yaml", "--no-export")
    heterosis(tmp_path, "export", "out", "--format", "compressed-tensors")
    assert "tokens/s" in heterosis(tmp_path, "best").stdout
    (noted,) = json.loads(heterosis(tmp_path, "best", "--json").stdout)["exports"]
    assert noted["format"] == "compressed-tensors"
    assert noted["bytes"] == (tmp_path / "out" / "model.safetensors").stat().st_size


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_target_that_cannot_hold_the_source_says_so(tmp_path, write_study, heterosis, command):
    for seed, name in enumerate(("base", "one", "two")):
        write_tiny(tmp_path / "models" / name, "mixtral", seed=seed, change=0.1 * seed)
    quantize = {"formats": ["q4_0"], "target": "gguf", "budget": None}
    write_study(tmp_path, space=space_of(tmp_path / "models", **quantize))
    said = " ".join(heterosis(tmp_path, command, "study.yaml", code=1).stderr.split())
    assert "the target 'gguf' cannot hold this model" in said
    assert not list(tmp_path.glob("*.db"))
