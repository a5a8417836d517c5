"""Statistics: right by direct computation, gathered once, whole or not there; and what is refused."""

import json
import signal
import subprocess
import sys

import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.checkpoints.statistics import StatisticsFile, include_statistics, open_statistics
from heterosis.core.errors import CheckpointError, ConfigurationError, StorageError
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.core.statistics import needed_statistics
from heterosis.fitness import gathering
from heterosis.fitness.calibration import read_texts
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.tiny import FAMILIES
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = ["the quick brown fox", "jumps over the lazy dog and sleeps", "one two three"]


def quiet(_what, _done, _whole):
    pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "statistics"


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(TEXTS) + "\n\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def sources(checkpoints):
    return SourceSet("base", ["one", "two", "lora-one"], checkpoints)


def gather(kind, checkpoint, texts, **options):
    return registry.load("statistics", kind)().gather(checkpoint, texts, quiet, **options)


def loaded(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, [tokenizer(text, return_tensors="pt")["input_ids"] for text in TEXTS]


def inputs_of(model, sequences, path):
    """What the module at `path` was given, row by row."""
    rows = []
    hook = model.get_submodule(path).register_forward_pre_hook(
        lambda _module, given: rows.append(given[0].flatten(0, 1))
    )
    with torch.no_grad():
        for ids in sequences:
            model(ids)
    hook.remove()
    return torch.cat(rows)


@pytest.mark.parametrize("path", ["model.layers.0.self_attn.v_proj", "model.layers.2.mlp.down_proj", "lm_head"])
def test_gram_is_the_mean_outer_product_of_the_inputs(path, sources, texts, cache):
    file = StatisticsFile(gather("gram", sources["one"], texts))
    rows = inputs_of(*loaded(sources["one"].directory), path).double()
    expected = (rows.T @ rows / len(rows)).float()
    torch.testing.assert_close(file.read(f"{path}.weight"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("path", ["model.layers.0.self_attn.v_proj", "model.layers.2.mlp.down_proj"])
def test_the_largest_inputs_stand_beside_their_gram(path, sources, texts, cache):
    file = StatisticsFile(gather("gram", sources["one"], texts))
    rows = inputs_of(*loaded(sources["one"].directory), path)
    torch.testing.assert_close(file.maxima(f"{path}.weight"), rows.abs().amax(dim=0), rtol=1e-4, atol=1e-5)
    assert not any("|" in name for name in file.tensors)


def test_statistics_without_maxima_are_good_enough(sources, texts, cache, tmp_path):
    path = gather("gram", sources["one"], texts)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    grams = {name: tensor for name, tensor in load_file(path).items() if "|" not in name}
    save_file(grams, tmp_path / "old.safetensors", metadata)
    old = StatisticsFile(tmp_path / "old.safetensors")
    assert old.maxima("lm_head.weight") is None
    assert torch.equal(old.read("lm_head.weight"), StatisticsFile(path).read("lm_head.weight"))


def test_layers_that_are_given_the_same_share_a_matrix(sources, texts, cache):
    path = gather("gram", sources["one"], texts)
    file = StatisticsFile(path)
    assert set(file.tensors) == {name for name in sources["one"].tensors if "norm" not in name and "embed" not in name}
    stored = load_file(path)
    assert len(file.tensors) == 3 * 7 + 1
    assert sum("|" not in name for name in stored) == 3 * 4 + 1
    assert torch.equal(file.read("model.layers.1.mlp.gate_proj.weight"), file.read("model.layers.1.mlp.up_proj.weight"))
    assert not torch.equal(
        file.read("model.layers.1.self_attn.q_proj.weight"), file.read("model.layers.1.self_attn.o_proj.weight")
    )


def squared_gradients(model, sequences):
    names = dict(model.named_parameters())
    total = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in names.items()}
    for ids in sequences:
        logits = torch.log_softmax(model(ids).logits[0, :-1], dim=-1)
        likelihood = logits.gather(1, ids[0, 1:, None]).sum()
        for name, gradient in zip(names, torch.autograd.grad(likelihood, names.values()), strict=True):
            total[name] += gradient.double() ** 2
    tokens = sum(ids.numel() - 1 for ids in sequences)
    return {name: (square / tokens).float() for name, square in total.items()}


def test_fisher_is_the_squared_gradient_of_each_text_per_token(sources, texts, cache):
    file = StatisticsFile(gather("fisher", sources["one"], texts))
    expected = squared_gradients(*loaded(sources["one"].directory))
    assert set(file.tensors) == set(expected)
    for name, square in expected.items():
        torch.testing.assert_close(file.read(name), square, rtol=1e-3, atol=1e-6 * float(square.max()))


def test_an_adapter_is_run_with_its_change(sources, texts, cache):
    name = "model.layers.2.mlp.down_proj.weight"
    with_change, without = (StatisticsFile(gather("gram", sources[key], texts)) for key in ("lora-one", "base"))
    assert not torch.allclose(with_change.read(name), without.read(name), rtol=1e-2)
    assert with_change.gathered_on == sources["lora-one"].fingerprint != without.gathered_on


@pytest.mark.parametrize("kind", ["gram", "fisher"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_statistics_under_its_stored_names(family, kind, texts, cache, tmp_path):
    write_tiny(tmp_path / "model", family)
    checkpoint = SourceSet("model", [], tmp_path)["model"]
    file = StatisticsFile(gather(kind, checkpoint, texts, tokens=12))
    assert set(file.tensors) <= set(checkpoint.tensors)
    if kind == "fisher":
        assert {name: info.shape for name, info in file.tensors.items()} == {
            name: info.shape for name, info in checkpoint.tensors.items()
        }
        return
    linear = {
        name: (info.shape[1], info.shape[1])
        for name, info in checkpoint.tensors.items()
        if len(info.shape) == 2 and "embed_" not in name.replace("embed_out", "") and "sparse_moe" not in name
    }
    assert {name: info.shape for name, info in file.tensors.items()} == linear


def test_bfloat16_runs_as_it_is_stored_and_is_summed_in_float32(texts, cache, tmp_path):
    write_tiny(tmp_path / "model", dtype=torch.bfloat16)
    file = StatisticsFile(gather("fisher", SourceSet("model", [], tmp_path)["model"], texts))
    assert {info.dtype for info in file.tensors.values()} == {torch.float32}
    assert file.read("model.embed_tokens.weight").max() > 0


def test_what_was_gathered_once_is_not_run_again(sources, texts, cache, monkeypatch):
    first = gather("gram", sources["one"], texts)
    assert first.parent == cache
    others = [
        gather("gram", sources["two"], texts),
        gather("fisher", sources["one"], texts),
        gather("gram", sources["one"], texts, tokens=10),
        gather("gram", sources["one"], texts, length=4),
    ]
    assert len({first, *others}) == 5
    monkeypatch.setattr(gathering, "_load", lambda *_: pytest.fail("it was run again"))
    assert gather("gram", sources["one"], texts) == first
    texts.rename(texts.with_name("moved.txt"))
    assert gather("gram", sources["one"], texts.with_name("moved.txt")) == first
    texts.write_text("another text", encoding="utf-8")
    with pytest.raises(BaseException, match="it was run again"):
        gather("gram", sources["one"], texts)


def test_only_so_many_tokens_are_read_in_pieces_of_a_length(sources, texts, cache):
    told = []
    path = registry.load("statistics", "gram")().gather(
        sources["one"], texts, lambda *event: told.append(event), tokens=20, length=6
    )
    model, sequences = loaded(sources["one"].directory)
    pieces = [part for one in sequences for part in one[0].split(6)]
    left, expected = 20, []
    for piece in pieces:
        piece = piece[: max(left, 0)]
        if len(piece) > 1:
            expected.append(piece[None])
            left -= len(piece)
    assert len(expected) > len(TEXTS)
    rows = inputs_of(model, expected, "lm_head")
    assert len(rows) in (19, 20)
    torch.testing.assert_close(
        StatisticsFile(path).read("lm_head.weight"), rows.T @ rows / len(rows), rtol=1e-4, atol=1e-5
    )
    done, whole = [event[1] for event in told], {event[2] for event in told}
    assert done == sorted(done)
    assert (done[0], {done[-1]}) == (0, whole)
    assert len(done) == len(expected) + 1


@pytest.mark.parametrize("kind", ["gram", "fisher"])
def test_what_ends_it_half_way_leaves_nothing(kind, sources, texts, cache):
    def interrupt(_what, done, _whole):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.load("statistics", kind)().gather(sources["one"], texts, interrupt)
    assert not cache.exists() or not list(cache.iterdir())


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from heterosis.core.checkpoints import SourceSet
from heterosis.fitness import gathering
from heterosis.fitness.gram import Gram

def killed(_tensors, path, _metadata):
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

gathering.save_file = killed
folder, texts = map(Path, sys.argv[1:])
Gram().gather(SourceSet("one", [], folder)["one"], texts, lambda *_: None)
"""


@pytest.mark.slow
def test_a_process_killed_while_it_writes_leaves_nothing_under_the_final_name(sources, texts, cache, checkpoints):
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(checkpoints), str(texts)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [path.name[0] for path in cache.iterdir()] == ["."]
    assert StatisticsFile(gather("gram", sources["one"], texts)).kind == "gram"


def test_a_disk_that_refuses_half_way_leaves_nothing(sources, texts, cache, monkeypatch):
    def full(_tensors, path, _metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gathering, "save_file", full)
    with pytest.raises(StorageError, match="nothing was kept; free some space"):
        gather("gram", sources["one"], texts)
    assert list(cache.iterdir()) == []


def test_texts_come_from_lines_and_from_the_files_of_tasks(tmp_path, write_lines):
    lines = [
        {"text": "a text", "id": 3},
        {"prompt": "the sum is", "answer": " 7"},
        {"prompt": "which?", "choices": [" this", " that"], "answer": 1},
        {"prompt": "only a prompt"},
    ]
    file = write_lines(tmp_path / "items.jsonl", lines)
    assert read_texts(file) == ["a text", "the sum is 7", "which? that", "only a prompt"]
    plain = tmp_path / "items.txt"
    plain.write_text('{"text": "not read as JSON"}\n\n  \nsecond', encoding="utf-8")
    assert read_texts(plain) == ['{"text": "not read as JSON"}', "second"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", '{"text": "a"}\n{"question": "b"}', r"x\.jsonl, line 2: must be an object with `text`"),
        ("x.jsonl", '{"text": 3}', "line 1: must be an object"),
        ("x.jsonl", "[1]", "line 1: must be an object"),
        ("x.jsonl", "{", r"line 1: not JSON"),
        ("x.txt", " \n\n", "has no text"),
        ("x.txt", b"\xff\xfe", "cannot be read"),
        ("x.txt", None, "cannot be read"),
    ],
)
def test_texts_that_cannot_be_used(name, content, message, tmp_path, sources, cache):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=message):
        gather("gram", sources["one"], file)


@pytest.mark.parametrize("options", [{"tokens": 1}, {"length": 1}])
def test_numbers_that_leave_nothing_to_foresee(options, sources, texts, cache):
    with pytest.raises(ConfigurationError, match="both must be at least 2"):
        gather("gram", sources["one"], texts, **options)


def test_a_recipe_says_what_its_models_were_trained_for(sources, texts, cache, tmp_path):
    both = Recipe.from_yaml("merge_method: regmean\nmodels: [one, two]\nstatistics: {one: texts.txt, two: texts.txt}\n")
    assert Recipe.from_yaml(both.to_yaml()) == both
    one_for_all = Recipe.from_yaml("merge_method: regmean\nmodels: [one, two]\nstatistics: texts.txt\n")
    assert one_for_all.hash != both.hash
    assert needed_statistics(both) == needed_statistics(one_for_all)
    opened = SourceSet(None, ["one", "two"], sources["one"].directory.parent)
    include_statistics(opened, needed_statistics(both).values(), tmp_path)
    planned = plan(both, opened)
    for tensor in planned.tensors:
        (step,) = tensor.steps
        assert len(step.statistics) == (2 if "proj" in tensor.name or "lm_head" in tensor.name else 0)
        for place, source in zip(step.statistics, step.sources, strict=False):
            assert place.tensor == source.tensor
            assert opened[place.checkpoint].gathered_on == opened[source.checkpoint].fingerprint


@pytest.mark.parametrize("given", ["", "statistics: {one: texts.txt}\n"])
def test_a_recipe_without_statistics_is_told_how_to_give_them(given, sources):
    text = f"merge_method: fisher\nmodels: [one, two]\n{given}"
    with pytest.raises(
        ConfigurationError, match=r"needs `statistics` of (one|two): give .*heterosis statistics .*--kind fisher"
    ):
        plan(Recipe.from_yaml(text), sources)


def test_statistics_that_are_not_open_or_lack_a_tensor(sources, texts, cache, tmp_path):
    recipe = Recipe.from_yaml(
        "merge_method: regmean\nmodels: [one, two]\nstatistics: {one: one.safetensors, two: texts.txt}\n"
    )
    opened = SourceSet(None, ["one", "two"], sources["one"].directory.parent)
    with pytest.raises(ConfigurationError, match=r"'gram of one on one\.safetensors' are not open"):
        plan(recipe, opened)
    path = gather("gram", opened["one"], texts)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    names = json.loads(metadata["stored_as"])
    del names["lm_head.weight"]
    save_file(load_file(path), tmp_path / "one.safetensors", {**metadata, "stored_as": json.dumps(names)})
    include_statistics(opened, needed_statistics(recipe).values(), tmp_path)
    with pytest.raises(ConfigurationError, match=r"one\.safetensors has no statistics of lm_head\.weight, but texts"):
        plan(recipe, opened)


def test_statistics_of_something_else_are_refused(sources, texts, cache, tmp_path):
    path = gather("gram", sources["one"], texts)
    with pytest.raises(ConfigurationError, match="another checkpoint than two"):
        open_statistics("gram", sources["two"], str(path))
    with pytest.raises(ConfigurationError, match="of the kind 'gram'; needed is 'fisher'"):
        open_statistics("fisher", sources["one"], str(path))
    save_file({"x": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="holds no statistics"):
        open_statistics("gram", sources["one"], "plain.safetensors", tmp_path)
    with pytest.raises(CheckpointError, match="is missing"):
        open_statistics("gram", sources["one"], "none.safetensors", tmp_path)


@pytest.mark.parametrize("given", [3, ["texts.txt"], {"one": 3}, {}, ""])
def test_statistics_of_a_recipe_that_are_no_files(given):
    with pytest.raises(ConfigurationError, match="`statistics` must be a file of texts"):
        Recipe.from_dict({"merge_method": "regmean", "models": ["one"], "statistics": given})
