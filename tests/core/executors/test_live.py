"""The resident model: only what changed is computed, and a failure leaves it able to become the next candidate."""

import threading
import time

import pytest
import torch
from heterosis.core import kernels
from heterosis.core.checkpoints import SourceSet
from heterosis.core.checkpoints.safetensors import SafetensorsCheckpoint
from heterosis.core.errors import CheckpointError, MaterialiseError
from heterosis.core.executors import LiveExecutor, resident_model
from heterosis.core.executors import live as live_module
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.testing.tiny import tiny_model

A = "merge_method: ties\nbase_model: base\nmodels: [one, two]\nparameters: {weight: 0.5, density: 0.6}\n"
B = A.replace("weight: 0.5", "weight: [{layers: [1, 2], value: 0.9}, {value: 0.5}]")
RANDOM = "merge_method: dare_ties\nbase_model: base\nmodels: [one, two]\nparameters: {weight: 0.5, density: 0.4}\n"
NAN = (
    "merge_method: linear\nmodels: [one, two]\nparameters: {weight: [{filter: 1.mlp.up_proj, value: 0}, {value: 1}]}\n"
)


@pytest.fixture
def executor(sources):
    return LiveExecutor(resident_model(sources["base"], torch.float32))


@pytest.fixture
def computed(monkeypatch):
    """Names of the tensors that are computed, as they are."""
    names = []
    compute_all = live_module.compute_all

    def counting(planned, *rest):
        names.extend(tensor.name for tensor, _ in planned)
        return compute_all(planned, *rest)

    monkeypatch.setattr(live_module, "compute_all", counting)
    return names


def bits(executor):
    return {name: tensor.clone() for name, tensor in executor.model.state_dict().items()}


def check_same(left, right):
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def fresh(sources, planned):
    executor = LiveExecutor(resident_model(sources["base"], torch.float32))
    executor.materialise(planned)
    return bits(executor)


def test_a_model_becomes_the_planned_one(executor, planned, sources):
    assert executor.materialise(planned("merge_method: passthrough\nmodels: [two]\n")) == len(sources["two"].tensors)
    check_same(bits(executor), {name: sources["two"].read(name) for name in sources["two"].tensors})


def test_only_tensors_that_changed_are_computed(executor, planned, sources, computed):
    whole = len(sources["base"].tensors)
    assert executor.materialise(planned(A)) == whole == len(computed)
    computed.clear()
    assert executor.materialise(planned(A)) == 0
    assert computed == []
    second_layer = [name for name in sources["base"].tensors if ".layers.1." in name]
    assert executor.materialise(planned(B)) == len(second_layer)
    assert computed == second_layer
    check_same(bits(executor), fresh(sources, planned(B)))


@pytest.mark.parametrize("between", [B, RANDOM, "merge_method: passthrough\nmodels: [lora-one]\n"])
@pytest.mark.parametrize("first", [A, RANDOM])
def test_there_and_back_again_gives_the_same_bits(executor, planned, first, between):
    executor.materialise(planned(first))
    before = bits(executor)
    executor.materialise(planned(between))
    executor.materialise(planned(first))
    check_same(bits(executor), before)


def test_a_tensor_that_turns_nan_is_named_and_the_next_model_is_right(executor, planned, sources):
    executor.materialise(planned(A))
    with pytest.raises(
        MaterialiseError, match=r"model\.layers\.1\.mlp\.up_proj\.weight has values that are not finite"
    ):
        executor.materialise(planned(NAN))
    executor.materialise(planned(B))
    check_same(bits(executor), fresh(sources, planned(B)))


def test_overflow_of_the_final_dtype_is_named(planned, sources):
    executor = LiveExecutor(resident_model(sources["base"], torch.float16))
    text = A.replace("weight: 0.5", "weight: 1e6, normalize: false") + "dtype: float32\nout_dtype: float16\n"
    with pytest.raises(MaterialiseError, match=r"lm_head\.weight has values that are not finite after ties"):
        executor.materialise(planned(text))


def test_large_values_whose_sum_overflows_are_finite(executor, planned):
    executor.materialise(
        planned(A.replace("ties", "task_arithmetic").replace("weight: 0.5, density: 0.6", "weight: 2e38"))
    )
    state = bits(executor)
    assert all(tensor.isfinite().all() for tensor in state.values())
    assert not all(tensor.sum().isfinite() for tensor in state.values()), "no sum overflowed, so this shows nothing"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), CheckpointError("the disk went away")])
@pytest.mark.parametrize("nth", [1, 7])
def test_what_stops_a_build_half_way_leaves_the_next_one_right(executor, planned, sources, monkeypatch, error, nth):
    executor.materialise(planned(A))
    run, calls = kernels.run, iter(range(1, 1000))

    def failing(form, base, parts, target, first):
        finite = run(form, base, parts, target, first)
        if next(calls) == nth:
            target.fill(7)
            raise error
        return finite

    with monkeypatch.context() as patch:
        patch.setattr(kernels, "run", failing)
        with pytest.raises(type(error)):
            executor.materialise(planned(RANDOM))
    executor.materialise(planned(A))
    check_same(bits(executor), fresh(sources, planned(A)))


def test_nothing_is_written_any_more_when_an_interruption_is_out(executor, planned, monkeypatch):
    executor.materialise(planned(A))
    interrupted = threading.Event()
    run = kernels.run

    def slow(*arguments):
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt
        time.sleep(0.05)
        return run(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(kernels, "run", slow)
        with pytest.raises(KeyboardInterrupt):
            executor.materialise(planned(RANDOM))
        after = bits(executor)
        time.sleep(0.2)
        check_same(bits(executor), after)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_hidden_layers": 2}, r"the resident model has no tensor 'model\.layers\.2\."),
        ({"num_hidden_layers": 4}, r"the plan leaves 'model\.layers\.3\..*' of the resident model unwritten"),
        ({"intermediate_size": 96}, r"\[48, 96\] in the resident model, but torch\.float32 \[48, 80\] in the plan"),
    ],
)
def test_a_model_of_another_shape_is_refused_untouched(planned, fields, message):
    executor = LiveExecutor(tiny_model(**fields))
    before = bits(executor)
    with pytest.raises(MaterialiseError, match=message):
        executor.materialise(planned(A))
    check_same(bits(executor), before)


def test_a_model_of_another_dtype_is_refused(planned, sources):
    executor = LiveExecutor(resident_model(sources["base"], torch.bfloat16))
    with pytest.raises(MaterialiseError, match=r"is torch\.bfloat16 .* in the resident model, but torch\.float32"):
        executor.materialise(planned(A))


def test_a_tied_embedding_is_written_once_for_both(tmp_path):
    model = tiny_model("qwen2")
    model.save_pretrained(tmp_path / "tied")
    recipe = Recipe.from_yaml("merge_method: linear\nmodels: [tied]\nparameters: {weight: 3, normalize: false}\n")
    executor = LiveExecutor(model)
    before = bits(executor)
    executor.materialise(plan(recipe, SourceSet("tied", [], tmp_path)))
    after = bits(executor)
    assert torch.equal(after["lm_head.weight"], 3 * before["lm_head.weight"])
    check_same(after, {name: 3 * tensor for name, tensor in before.items()})


def test_a_resident_model_is_frozen_and_in_evaluation_mode(executor):
    assert not executor.model.training
    assert not any(parameter.requires_grad for parameter in executor.model.parameters())


def test_a_folder_that_transformers_cannot_load_is_named(sources, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no_such_architecture"}')
    (tmp_path / "model.safetensors").write_bytes((sources["base"].directory / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=f"transformers cannot load {tmp_path}"):
        resident_model(SafetensorsCheckpoint(tmp_path), torch.float32)
