"""Every installed merge method keeps its contract, and the check that says so catches those that do not."""

import random

import numpy as np
import pytest
import torch
from heterosis.core import registry
from heterosis.core.contracts import MergeMethod, ParameterSpec
from heterosis.core.errors import PluginError
from heterosis.testing.merge_methods import check_merge_method

WEIGHT = ParameterSpec("weight", "source", search=(0.0, 1.5))


class Mean(MergeMethod):
    """Keeps its contract; what breaks it is derived from it."""

    name = "mean"
    parameters = (WEIGHT,)

    def merge(self, base, sources, parameters):
        changes = zip(sources, parameters.per_source["weight"], strict=True)
        return base + sum((source - base) * weight for source, weight in changes)


class Writes(Mean):
    def merge(self, base, sources, parameters):
        return base.add_(super().merge(base, sources, parameters) - base).clone()


class GivesItsInput(Mean):
    def merge(self, base, sources, parameters):
        return sources[0]


class GivesAView(Mean):
    def merge(self, base, sources, parameters):
        return base.view(-1).view(base.shape)


class ChangesTheDtype(Mean):
    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters).float()


class ChangesTheShape(Mean):
    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters).unsqueeze(0)


class GivesNoTensor(Mean):
    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters).tolist()


class DividesByZero(Mean):
    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters) / 0


class DividesByTheNorm(Mean):
    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters) / base.norm() * base.norm()


class Draws(Mean):
    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters) + 1e-6 * torch.rand_like(base)


class SeedsTheWorld(Mean):
    def merge(self, base, sources, parameters):
        torch.manual_seed(parameters.seed)
        return super().merge(base, sources, parameters) + 1e-6 * torch.rand_like(base)


class DrawsFromNumpy(Mean):
    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters) * (1 + 1e-3 * np.random.rand())


class DrawsFromPython(Mean):
    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters) * (1 + 1e-3 * random.random())


class Remembers(Mean):
    calls = 0

    def merge(self, base, sources, parameters):
        self.calls += 1
        return super().merge(base, sources, parameters) * (1 + 0.001 * (self.calls - 1))


class Adds(Mean):
    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters) + 0.5


class Doubles(Mean):
    def merge(self, base, sources, parameters):
        return base + 2 * (super().merge(base, sources, parameters) - base)


class FavoursTheFirst(Mean):
    def merge(self, base, sources, parameters):
        change = super().merge(base, sources, parameters) - base
        return base + (change + (sources[0] - base)) / (1 + sum(parameters.per_source["weight"]))


class SharesOut(Mean):
    """With weights that sum to one it is no average: each source counts with the square of its weight."""

    def merge(self, base, sources, parameters):
        changes = zip(sources, parameters.per_source["weight"], strict=True)
        return base + sum((source - base) * weight**2 for source, weight in changes)


class AddsATrace(Mean):
    keeps_base = True

    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters) * (1 + 1e-6)


class PreparesSomethingElse(Mean):
    def prepare(self, base, sources):
        return 1e-3

    def merge(self, base, sources, parameters):
        return super().merge(base, sources, parameters) + (parameters.prepared or 0)


class Raises(Mean):
    def merge(self, base, sources, parameters):
        raise RuntimeError("no kernel for this")


class Nameless(Mean):
    name = ""


class TakesNothing(Mean):
    source_count = (0, 2)


class UpsideDown(Mean):
    source_count = (3, 2)


class Unfinished(MergeMethod):
    name = "unfinished"


def declaring(*specs):
    return type("Declaring", (Mean,), {"parameters": (WEIGHT, *specs)})


BROKEN = {
    Writes: "an input was changed",
    GivesItsInput: "shares memory with an input",
    GivesAView: "shares memory with an input",
    ChangesTheDtype: r"tensors of torch\.bfloat16 gave one of torch\.float32",
    ChangesTheShape: r"tensors of shape \[1\] gave one of shape \[1, 1\]",
    GivesNoTensor: "merge gave a list, not a tensor",
    DividesByZero: "ordinary torch.float32 tensors gave values that are not finite",
    DividesByTheNorm: "equal to the base did not give it back .*nan",
    Draws: "global random state of torch, numpy or `random` was changed",
    SeedsTheWorld: "global random state of torch, numpy or `random` was changed",
    DrawsFromNumpy: "global random state of torch, numpy or `random` was changed",
    DrawsFromPython: "global random state of torch, numpy or `random` was changed",
    Remembers: "an earlier call changed the result",
    Adds: "equal to the base did not give it back",
    Doubles: "one source with weight 1 did not give that source",
    FavoursTheFirst: "the order of the sources changed the result",
    SharesOut: "2 equal sources did not give themselves",
    AddsATrace: "`keeps_base` promises the base's own bits",
    PreparesSomethingElse: "what `prepare` gave changed the result",
    Raises: r"merging 1 torch\.float32 tensor\(s\) of shape \[1\] with .* raised RuntimeError\('no kernel for this'\)",
    Nameless: "has an empty name",
    TakesNothing: "`source_count` allows 0 sources",
    UpsideDown: r"`source_count` is upside down: \(3, 2\)",
    Unfinished: "lacks merge",
    int: "is not a subclass of MergeMethod",
    declaring(WEIGHT): "declared twice",
    declaring(ParameterSpec("", "shared", default=1.0)): "has no name",
    declaring(ParameterSpec("groups", "shared", default=1.0)): "may not be called 'groups'",
    declaring(ParameterSpec("x", "tensor", default=1.0)): "neither source nor shared",
    declaring(ParameterSpec("x", "shared", default=1.0, low=2.0, high=1.0)): r"the limits \[2.0, 1.0\] are upside down",
    declaring(ParameterSpec("x", "shared", default=2.0, high=1.0)): r"the default 2.0 is outside \[-inf, 1.0\]",
    declaring(ParameterSpec("x", "shared", search=(0.0, float("inf")))): "is not finite",
    declaring(ParameterSpec("x", "shared", search=(1.0, 0.0))): "empty or upside down",
    declaring(ParameterSpec("x", "shared", search=(-1.0, 1.0), low=0.0)): "begins outside",
    declaring(ParameterSpec("x", "shared", search=(0.0, 2.0), high=1.0)): "ends outside",
    declaring(ParameterSpec("x", "shared", default=True, search=(0.0, 1.0))): "is true or false",
    declaring(ParameterSpec("x", "shared")): "neither a default nor a range to search",
}


MEANT = {
    "tsv": {"averages": False},  # what tasks share is shared between them, so k equal ones give a part of their sum
    "iso_c": {"averages": False, "reproduces": False},  # all singular values are made equal, a single source's too
    "iso_cts": {"averages": False, "reproduces": False},
}


@pytest.mark.parametrize("name", registry.names("merge_methods"))
def test_every_installed_method_keeps_its_contract(name):
    check_merge_method(name, **MEANT.get(name, {}))


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_what_breaks_the_contract_is_told(broken):
    with pytest.raises(AssertionError, match=f"(?s){BROKEN[broken]}"):
        check_merge_method(broken)


def test_a_method_that_keeps_the_contract_passes_as_a_class_too():
    check_merge_method(Mean)


def test_what_is_meant_can_be_said():
    check_merge_method(FavoursTheFirst, symmetric=False)
    check_merge_method(declaring(ParameterSpec("x", "shared")), values={"x": 0.5})
    check_merge_method(Doubles, averages=False, reproduces=False)
    with pytest.raises(AssertionError, match="values were given of \\['y'\\]"):
        check_merge_method(Mean, values={"y": 0.5})


def test_a_name_that_is_not_installed_is_answered_with_the_nearest():
    with pytest.raises(PluginError, match="Did you mean 'ties'"):
        check_merge_method("tise")


@pytest.mark.parametrize("name", ["dare_linear", "dare_ties", "della_linear", "della"])
def test_random_methods_follow_their_seed(name):
    from heterosis.testing.merge_methods import Subject

    subject = Subject(registry.load("merge_methods", name))
    base, sources = torch.zeros(50), [torch.ones(50)]
    drawn = [subject.merge(base, sources, subject.parameters(1, seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
