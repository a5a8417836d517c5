"""KurTail rotations: without effect on what models say, flatter inputs than Hadamard's, one for all of a space."""

from dataclasses import replace

import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.checkpoints.statistics import include_statistics
from heterosis.core.errors import ConfigurationError
from heterosis.core.executors import LiveExecutor, resident_model, write_model
from heterosis.core.executors.operands import Operands
from heterosis.core.executors.quantize import calibration
from heterosis.core.executors.tensor_identity import TensorIdentity
from heterosis.core.plan import plan
from heterosis.core.quantization.rotation import LearnedRotation, Rotation
from heterosis.core.quantize_space import Quantize
from heterosis.core.quiet import no_progress_bars
from heterosis.core.recipe import Recipe
from heterosis.core.rotate import FAMILIES
from heterosis.core.space import Space
from heterosis.core.statistics import all_needs, needed_rotation
from heterosis.fitness.learned_rotation import kurtosis, learned_rotation
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.tiny import tiny_model, tiny_tokenizer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

TOKENS = torch.arange(1, 25).reshape(2, 12)
WORDS = "the quick brown fox jumps over lazy dog and sleeps one two three four five six question answer what is capital"
OUTLIERS = [3, 17]


def quiet(_what, _done, _whole):
    pass


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "statistics"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With texts: `texts.txt` and `others.txt`."""
    folder = tmp_path_factory.mktemp("kurtail")
    for seed, name in enumerate(("texts", "others")):
        random = torch.Generator().manual_seed(seed)
        lines = [torch.randint(len(WORDS.split()), (12,), generator=random).tolist() for _ in range(60)]
        text = "\n".join(" ".join(WORDS.split()[word] for word in line) for line in lines)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model_of(folder):
    """`model_of("llama", torch.float32)`: a checkpoint in the folder whose norms have gains, and whose hidden features
    have outliers."""

    def make(family, dtype=torch.float32, **overrides):
        name = f"{family}-{dtype}-{len(overrides)}".replace("torch.", "")
        if (folder / name).exists():
            return name
        model = tiny_model(family, **overrides)
        random = torch.Generator().manual_seed(1)
        for path, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.data += 0.3 * torch.randn(parameter.shape, generator=random)
            elif path.endswith("embed_tokens.weight"):
                parameter.data[:, OUTLIERS] *= 12
            elif path.split(".")[-2] in ("o_proj", "down_proj"):
                parameter.data[OUTLIERS] *= 12
        with no_progress_bars():
            model.to(dtype).save_pretrained(folder / name)
        tiny_tokenizer().save_pretrained(folder / name)
        return name

    return make


def recipe_of(name, **quantize):
    recipe = Recipe.from_dict({"merge_method": "passthrough", "models": [name], "quantize": quantize})
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    return recipe


def planned(folder, name, rotation="kurtail", calibration="texts.txt", **quantize):
    recipe = recipe_of(name, rotation=rotation, calibration=calibration, **quantize)
    sources = SourceSet(None, recipe.references, folder)
    include_statistics(sources, all_needs(recipe), folder)
    return plan(recipe, sources)


def step_of(one, ending="layers.1.mlp.up_proj.weight"):
    return next(tensor.rotate for tensor in one.tensors if tensor.name.endswith(ending))


def matrix_of(one):
    step = step_of(one)
    if isinstance(step.rotation, Rotation):
        return step.rotation.apply(torch.eye(step.rotation.size))
    return one.sources[step.rotation.checkpoint].read(step.rotation.tensor)


def logits_of(model):
    with torch.inference_mode():
        return model(TOKENS).logits


def simulated(one, dtype=torch.float32):
    model = resident_model(one.template, dtype)
    LiveExecutor(model).materialise(one)
    return logits_of(model)


def normed_inputs(folder, name, texts):
    """What attention and MLP read, without the gains: (2 * layers, rows, features)."""
    model = AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32).eval()
    found = {}

    def keep(path):
        def hook(_module, given):
            rows = given[0].flatten(0, 1)
            found.setdefault(path, []).append(rows / rows.square().mean(-1, keepdim=True).sqrt())

        return hook

    for path, module in model.named_modules():
        if path.endswith("layernorm"):
            module.register_forward_pre_hook(keep(path))
    with torch.no_grad():
        for line in (folder / texts).read_text(encoding="utf-8").split("\n"):
            model(tiny_tokenizer()(line, return_tensors="pt")["input_ids"])
    return torch.stack([torch.cat(parts) for parts in found.values()])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_without_levels_a_rotated_model_says_the_same(family, tied, folder, model_of):
    name = model_of(family, tie_word_embeddings=True) if tied else model_of(family)
    plain = logits_of(AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32).eval())
    turned = simulated(planned(folder, name))
    assert not torch.equal(plain, turned)
    assert torch.allclose(plain, turned, atol=1e-4 * float(plain.abs().max()))


def test_inputs_on_other_texts_are_flatter_than_after_hadamards(folder, model_of):
    name = model_of("llama")
    held_out = normed_inputs(folder, name, "others.txt")
    turned = {kind: held_out @ matrix_of(planned(folder, name, kind)) for kind in ("hadamard", "kurtail")}
    distance = {kind: float((kurtosis(inputs) - 1.8).abs().mean()) for kind, inputs in turned.items()}
    assert float(kurtosis(held_out).mean()) > 5
    assert distance["kurtail"] < 0.8 * distance["hadamard"]


def test_kurtosis_of_known_distributions():
    random = torch.Generator().manual_seed(0)
    inputs = torch.stack([torch.rand(500, 200, generator=random), torch.randn(500, 200, generator=random)])
    torch.testing.assert_close(kurtosis(inputs), torch.tensor([1.8, 3.0]), rtol=0.02, atol=0)


@pytest.mark.parametrize("size", [7, 48])
def test_what_is_learned_is_orthogonal_and_another_seeds_is_another(size):
    inputs = torch.randn(2, 100, size, generator=torch.Generator().manual_seed(0))
    one, again, other = (learned_rotation(inputs, seed) for seed in (0, 0, 1))
    assert torch.allclose(one @ one.T, torch.eye(size), atol=1e-6)
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=0.01)


def test_the_same_texts_give_the_same_file(folder, model_of, tmp_path, monkeypatch):
    source = SourceSet(None, [model_of("llama")], folder)[model_of("llama")]
    files = []
    for place in ("one", "other"):
        monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path / place))
        files.append(registry.load("statistics", "kurtail")().gather(source, folder / "texts.txt", quiet))
    assert files[0] != files[1]
    one, other = (load_file(file)["rotation"] for file in files)
    assert torch.equal(one, other)


def test_what_is_written_is_what_was_simulated(folder, model_of, tmp_path):
    name = model_of("qwen2", torch.bfloat16)
    turned = planned(folder, name, levels={"qkv": "gptq:int4-g16", "head": "int8-g16"})
    write_model(turned, tmp_path / "out")
    with no_progress_bars():
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.bfloat16).eval()
    assert torch.equal(logits_of(loaded), simulated(turned, torch.bfloat16))


def test_calibration_turns_with_what_it_is_of(folder, model_of):
    name = model_of("llama")
    turned = planned(folder, name, levels={"gate_up": "gptq:int4-g16"})
    reader = next(tensor for tensor in turned.tensors if tensor.name.endswith("layers.1.mlp.up_proj.weight"))
    inputs = normed_inputs(folder, name, "texts.txt")[3] @ matrix_of(turned)
    gram = calibration(reader, Operands(turned.sources)).gram
    assert torch.allclose(gram, inputs.T @ inputs / len(inputs), atol=1e-3)


def test_hashes_know_what_was_learned(folder, model_of):
    name = model_of("llama")
    one, other, hadamard = (planned(folder, name, *more) for more in ((), ("kurtail", "others.txt"), ("hadamard",)))
    norms = [tensor.name for tensor in one.tensors if tensor.rotate.role == "norm"]
    for two in (other, hadamard):
        alike = [a.name for a, b in zip(one.tensors, two.tensors, strict=True) if a.hash == b.hash]
        assert alike == (norms if two is other else [])  # a norm of ones is what it is, whatever was learned


def test_kept_tensors_go_by_the_matrix_and_not_by_where_it_lies(folder, model_of):
    name = model_of("llama")
    one, other = (
        planned(folder, name, levels={"qkv": "int4-g16"}, calibration=texts) for texts in ("texts.txt", "others.txt")
    )
    reader = next(tensor for tensor in one.tensors if tensor.level)
    reader = replace(reader, quantize=replace(reader.quantize, calibration=(), shares=()))
    elsewhere = replace(reader.rotate.rotation, checkpoint="elsewhere")
    moved = replace(reader, rotate=replace(reader.rotate, rotation=elsewhere))
    learned, other_learned = (found.sources[step_of(found).rotation.checkpoint] for found in (one, other))
    identity, device = TensorIdentity(), torch.device("cpu")
    here = identity.of(reader, one.sources, device)
    assert identity.of(moved, {**one.sources, "elsewhere": learned}, device) == here
    assert identity.of(moved, {**one.sources, "elsewhere": other_learned}, device) != here


@pytest.fixture
def space(tmp_path, folder):
    """`space(rotation="kurtail")`: of two sources and methods with and without a base."""

    def make(family="llama", **quantize):
        for seed, name in enumerate(("base", "one", "two")):
            if not (tmp_path / name).exists():
                write_tiny(tmp_path / name, family, seed, change=0.1 * seed)
        for name in ("texts.txt", "others.txt"):
            (tmp_path / name).write_text((folder / name).read_text(encoding="utf-8"), encoding="utf-8")
        content = {"levels": ["int4-g16", "int8-g16"], "calibration": {"x": "texts.txt", "y": "others.txt"}, **quantize}
        return Space.from_dict(
            {
                "base": "base",
                "sources": {"x": "one", "y": "two"},
                "merge": {"method": ["linear", "task_arithmetic"]},
                "quantize": {"rotation": "kurtail", **content},
            },
            tmp_path,
        )

    return make


def test_all_candidates_of_a_space_share_what_was_learned_once(space, cache):
    searched = space()
    assert Space.from_dict(searched.to_dict()).to_dict() == searched.to_dict()
    low, high = searched.genes.bounds()
    recipes = [searched.decode(searched.genes.decode(low + share * (high - low))) for share in (0.1, 0.9)]
    assert not cache.exists()
    assert {recipe.merge_method for recipe in recipes} == {"linear", "task_arithmetic"}
    plans = [plan(recipe, searched.checkpoints) for recipe in recipes]
    assert len([file for file in cache.iterdir() if file.name.startswith("kurtail-")]) == 1
    assert [needed_rotation(recipe).model for recipe in recipes] == ["one", "one"]
    first, second = (step_of(one).rotation for one in plans)
    assert first == second == LearnedRotation("kurtail", 48, "kurtail of one on texts.txt", "rotation")


def test_without_texts_to_learn_on_it_is_refused_at_once():
    with pytest.raises(ConfigurationError, match="learned on texts; give `calibration`"):
        Quantize(rotation="kurtail")
    with pytest.raises(ConfigurationError, match="learned on texts; give `calibration`"):
        recipe_of("one", rotation="kurtail")
    with pytest.raises(ConfigurationError, match=r"gram\.safetensors in `calibration` holds statistics"):
        Quantize(rotation="kurtail", calibration={"x": "texts.txt", "y": "gram.safetensors"})
    with pytest.raises(ConfigurationError, match="Did you mean 'kurtail'"):
        Quantize(rotation="kurtal", calibration="texts.txt")


@pytest.mark.parametrize("family", ["mixtral", "gpt_neox"])
def test_other_families_are_refused_before_anything_is_run(family, space, cache):
    with pytest.raises(ConfigurationError, match="cannot be rotated"):
        space(family).checkpoints  # noqa: B018
    with pytest.raises(ConfigurationError, match="cannot be rotated"):
        space(family).genes  # noqa: B018
    assert not cache.exists()


def test_a_plan_without_the_open_statistics_says_how_to_open_them(folder, model_of):
    recipe = recipe_of(model_of("llama"), rotation="kurtail", calibration="texts.txt")
    with pytest.raises(ConfigurationError, match="are not open"):
        plan(recipe, SourceSet(None, recipe.references, folder))
