"""The same configuration built here and run by mergekit, and how far apart the results are."""

import logging

import pytest
import torch
import yaml
from heterosis.core.checkpoints import SourceSet
from heterosis.core.executors import write_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from safetensors.torch import load_file


@pytest.fixture
def ours(tmp_path):
    """Builds what a text describes; returns the folder and its tensors."""

    def build(text, folder=None):
        recipe = Recipe.from_yaml(text)
        out = tmp_path / "ours"
        write_model(plan(recipe, SourceSet(recipe.base_model, recipe.references, folder)), out)
        return out, load_file(out / "model.safetensors")

    return build


@pytest.fixture
def theirs(tmp_path):
    """Lets mergekit run what a text describes; returns the folder and its tensors."""

    def build(text):
        from mergekit.config import MergeConfiguration
        from mergekit.merge import run_merge
        from mergekit.options import MergeOptions

        logging.getLogger("mergekit").setLevel(logging.ERROR)
        out = tmp_path / "theirs"
        options = MergeOptions(
            quiet=True, write_model_card=False, random_seed=1, lora_merge_cache=str(tmp_path / "dense")
        )
        run_merge(MergeConfiguration.model_validate(yaml.safe_load(text)), str(out), options)
        return out, load_file(out / "model.safetensors")

    return build


def steps_apart(left, right):
    """How many representable values lie between two tensors' elements."""
    as_integers = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}[left.dtype]
    ordered = []
    for tensor in (left, right):
        bits = tensor.contiguous().view(as_integers).to(torch.int64)
        ordered.append(torch.where(bits < 0, torch.iinfo(as_integers).min - bits, bits))
    return (ordered[0] - ordered[1]).abs()


@pytest.fixture
def check_equal():
    """Fails unless two models have the same tensors, within `steps` of their dtype's representable values.

    Sums of numbers that cancel leave the rounding of the larger ones, so that what is small beside the tensor's largest
    element (`relative`) counts as equal too.
    """

    def check(left, right, steps=1, relative=2e-6):
        assert left.keys() == right.keys()
        for name, tensor in left.items():
            assert (tensor.dtype, tensor.shape) == (right[name].dtype, right[name].shape), name
            small = (tensor.double() - right[name].double()).abs() <= relative * right[name].double().abs().max()
            far = (steps_apart(tensor, right[name]) > steps) & ~small
            assert not far.any(), f"{name}: {int(far.sum())} elements differ"

    return check
