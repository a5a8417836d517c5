"""`heterosis statistics`, and a study that merges with what it gathers."""

import shutil

import torch
from heterosis.core.checkpoints.statistics import StatisticsFile
from safetensors.torch import load_file


def test_it_gathers_once_and_says_where_it_is(tmp_path, checkpoints, heterosis, write_lines):
    write_lines(tmp_path / "words.jsonl", [{"prompt": "the quick brown", "answer": " fox"}])
    command = ("statistics", checkpoints / "one", "words.jsonl", "--tokens", 30)
    cache = str(tmp_path / "cache")
    printed = heterosis(tmp_path, *command, "--out", "one.safetensors", HETEROSIS_CACHE=cache).stdout
    assert "one.safetensors: " in printed
    assert f"statistics: {{{checkpoints / 'one'}: one.safetensors}}" in printed
    (kept,) = (tmp_path / "cache" / "statistics").iterdir()
    assert kept.read_bytes() == (tmp_path / "one.safetensors").read_bytes()
    before = kept.stat().st_mtime_ns
    assert kept.name in heterosis(tmp_path, *command, HETEROSIS_CACHE=cache).stdout
    assert kept.stat().st_mtime_ns == before
    assert StatisticsFile(tmp_path / "one.safetensors").kind == "gram"


def test_an_adapter_needs_its_base(tmp_path, checkpoints, heterosis, write_lines):
    write_lines(tmp_path / "words.jsonl", [{"text": "the quick brown fox"}])
    command = ("statistics", checkpoints / "lora-one", "words.jsonl", "--kind", "fisher")
    cache = str(tmp_path / "cache")
    assert "name the base" in heterosis(tmp_path, *command, code=1, HETEROSIS_CACHE=cache).stderr
    heterosis(tmp_path, *command, "--base", checkpoints / "base", HETEROSIS_CACHE=cache)


def test_what_is_refused(tmp_path, checkpoints, heterosis):
    def refusal(*words):
        return heterosis(tmp_path, "statistics", *words, code=1, HETEROSIS_CACHE=str(tmp_path / "cache")).stderr

    (tmp_path / "x.safetensors").touch()
    (tmp_path / "x.txt").touch()
    one = checkpoints / "one"
    assert "there is no checkpoint" in refusal("none", "x.txt")
    assert "x.txt has no text" in refusal(one, "x.txt")
    assert "cannot be read" in refusal(one, "none.txt")
    assert "Did you mean 'gram'" in refusal(one, "x.txt", "--kind", "grams")
    assert "exists already" in refusal(one, "x.txt", "--out", "x.safetensors")
    assert "does not end in .safetensors" in refusal(one, "x.txt", "--out", "x.bin")
    assert "cannot be used here" in refusal(one, "x.txt", "--device", "cuda:99")


def test_a_study_gathers_and_its_candidates_are_built_again_from_their_recipes(
    tmp_path, write_study, checkpoints, heterosis
):
    space = {
        "base": str(checkpoints / "base"),
        "sources": [str(checkpoints / "one"), str(checkpoints / "two")],
        "merge": {"method": ["regmean", "fisher"], "statistics": "search.jsonl"},
    }
    folder = write_study(tmp_path, space=space)
    cache = str(tmp_path / "cache")
    heterosis(folder, "run", "study.yaml", HETEROSIS_CACHE=cache)
    assert len(list((tmp_path / "cache" / "statistics").iterdir())) == 4
    shutil.rmtree(cache)  # what is not there is gathered again
    heterosis(folder, "export", "again", HETEROSIS_CACHE=cache)
    (folder / "recipe.yaml").write_text((folder / "again" / "recipe.yaml").read_text())
    heterosis(folder, "export", "--recipe", "recipe.yaml", "rebuilt", HETEROSIS_CACHE=cache)
    first, again, rebuilt = (
        load_file(folder / name / "model.safetensors") for name in ("tiny/merged", "again", "rebuilt")
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(first[name], rebuilt[name]) for name in first)
