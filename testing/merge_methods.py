"""Conformance check for contract `heterosis.merge_methods`: run it on your own method as we run it on ours.

>>> from heterosis.testing.merge_methods import check_merge_method
>>> check_merge_method("ties")
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..core import registry
from ..core.contracts import MergeMethod, MergeParameters, ParameterSpec

SHAPES = ((1,), (7,), (6, 5), (2, 3, 4))
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}
_RESERVED = ("method", "groups", "by_module", "statistics")


@dataclass(frozen=True)
class Subject:
    """A merge method that is checked, and what is known of it.

    Attributes:
        values: for parameters, values to use instead of those the method declares.
        symmetric: whether the order of the sources (with their parameters) is without meaning.
        averages: whether equal sources whose weights sum to one give themselves.
        reproduces: whether one source with weight 1 gives that source.
        statistics: makes the statistics of a source's tensor, or None for tensors that have none.
    """

    method: type[MergeMethod]
    values: Mapping[str, float | bool] = field(default_factory=dict)
    symmetric: bool = True
    averages: bool = True
    reproduces: bool = True
    statistics: Callable[[torch.Tensor], torch.Tensor | None] = lambda _source: None

    @property
    def counts(self) -> list[int]:
        """Numbers of sources to try: the fewest allowed, one more, and three."""
        least, most = self.method.source_count
        return sorted({min(count, most or count) for count in (least, least + 1, max(least, 3))})

    @property
    def weighted(self) -> bool:
        """Whether there is a `weight` of each source."""
        return any(spec.name == "weight" and spec.scope == "source" for spec in self.method.parameters)

    def merge(
        self,
        base: torch.Tensor | None,
        sources: Sequence[torch.Tensor],
        parameters: MergeParameters,
        instance: MergeMethod | None = None,
    ) -> torch.Tensor:
        """Merges, with a fresh instance if none is given. Raises AssertionError if that raises anything."""
        known = (self.statistics(source) for source in sources)
        parameters = replace(parameters, statistics=tuple(matrix for matrix in known if matrix is not None))
        try:
            return (instance or self.method()).merge(base, sources, parameters)
        except Exception as error:
            raise AssertionError(
                f"merging {len(sources)} {sources[0].dtype} tensor(s) of shape {list(sources[0].shape)} with "
                f"{parameters} raised {error!r}"
            ) from error

    def parameters(self, count: int, seed: int = 5, usual: bool = False) -> MergeParameters:
        """Values for `count` sources: different ones within the search ranges, or the `usual` ones (see `_usual`)."""
        own: dict[str, tuple[float, ...]] = {}
        shared: dict[str, float | bool] = {}
        for spec in self.method.parameters:
            if spec.scope == "source":
                own[spec.name] = tuple(float(self._value(spec, number, count, usual)) for number in range(count))
            else:
                shared[spec.name] = self._value(spec, 0, 1, usual)
        return MergeParameters(own, shared, seed)

    def _value(self, spec: ParameterSpec, number: int, count: int, usual: bool) -> float | bool:
        if spec.name in self.values:
            return self.values[spec.name]
        if usual and spec.name == "weight":
            return 1 / count
        if spec.search is not None and not (usual and spec.default is not None):
            low, high = spec.search
            return low + (high - low) * (number + 1) / (count + 1)
        assert spec.default is not None, (
            f"{spec.name!r} has neither a default nor a range to search, so no value can be tried: give the check one, "
            f"check_merge_method(..., values={{{spec.name!r}: 0.5}})"
        )
        return spec.default


def check_merge_method(
    method: str | type[MergeMethod],
    values: Mapping[str, float | bool] | None = None,
    symmetric: bool = True,
    averages: bool = True,
    reproduces: bool = True,
    statistics: Callable[[torch.Tensor], torch.Tensor | None] = lambda _source: None,
) -> None:
    """Checks that a merge method keeps its contract.

    Args:
        method: a class, or the name of an installed plugin.
        values: of parameters that have neither a default nor a range to search.
        symmetric: false if the order of the sources has a meaning.
        averages: false if equal sources whose weights sum to one do not give themselves.
        reproduces: false if one source with weight 1 does not give that source.
        statistics: for a method that works with some, makes those of a source from its tensor; None for tensors
            without any.

    Raises:
        AssertionError: it does not; the message says what it did.
        PluginError: no plugin of that name can be loaded.
    """
    if isinstance(method, str):
        loaded: type[MergeMethod] = registry.load("merge_methods", method)
        assert loaded.name == method, f"the entry point is called {method!r}, but the class's `name` is {loaded.name!r}"
        method = loaded
    subject = Subject(method, values or {}, symmetric, averages, reproduces, statistics)
    for check in CHECKS:
        check(subject)


def check_identity(subject: Subject) -> None:
    """It is a subclass of the contract, with a name, and says how many sources it takes."""
    method = subject.method
    assert isinstance(method, type), f"{method!r} is not a class"
    assert issubclass(method, MergeMethod), f"{method} is not a subclass of MergeMethod"
    name = getattr(method, "name", None)
    assert isinstance(name, str), f"{method} has no name"
    assert name, f"{method} has an empty name"
    lacking = sorted(getattr(method, "__abstractmethods__", ()))
    assert not lacking, f"{method} lacks {', '.join(lacking)}"
    least, most = method.source_count
    assert least >= 1, f"`source_count` allows {least} sources; one at least is needed"
    assert most is None or most >= least, f"`source_count` is upside down: {method.source_count}"


def check_parameters(subject: Subject) -> None:
    """Every parameter has a name of its own, and a default and a range within its limits."""
    names = [spec.name for spec in subject.method.parameters]
    assert len(set(names)) == len(names), f"a parameter is declared twice: {names}"
    unknown = sorted(set(subject.values) - set(names))
    assert not unknown, f"values were given of {unknown}, which are not among its parameters {names}"
    for spec in subject.method.parameters:
        _check_spec(spec)


def _check_spec(spec: ParameterSpec) -> None:
    name, limits = spec.name, f"[{spec.low}, {spec.high}]"
    assert name, "a parameter has no name"
    assert name not in _RESERVED, f"a parameter may not be called {name!r}: the word has a meaning where it is written"
    assert spec.scope in ("source", "shared"), f"{name}: the scope {spec.scope!r} is neither source nor shared"
    assert spec.low <= spec.high, f"{name}: the limits {limits} are upside down"
    if spec.default is not None:
        assert spec.low <= spec.default <= spec.high, f"{name}: the default {spec.default} is outside {limits}"
    if spec.search is not None:
        low, high = spec.search
        assert not isinstance(spec.default, bool), f"{name} is true or false: there is no range of it to search"
        assert math.isfinite(low + high), f"{name}: the range {spec.search} is not finite"
        assert low < high, f"{name}: the range {spec.search} is empty or upside down"
        assert spec.low <= low, f"{name}: the range {spec.search} begins outside {limits}"
        assert high <= spec.high, f"{name}: the range {spec.search} ends outside {limits}"


def check_result(subject: Subject) -> None:
    """Shape, dtype and device are the inputs'; ordinary inputs give finite values."""
    for base, sources, parameters in _cases(subject):
        result = subject.merge(base, sources, parameters)
        like = sources[0]
        assert isinstance(result, torch.Tensor), f"merge gave a {type(result).__name__}, not a tensor"
        assert result.shape == like.shape, f"tensors of shape {list(like.shape)} gave one of shape {list(result.shape)}"
        assert result.dtype == like.dtype, f"tensors of {like.dtype} gave one of {result.dtype}"
        assert result.device == like.device, f"tensors on {like.device} gave one on {result.device}"
        assert result.isfinite().all(), f"ordinary {like.dtype} tensors gave values that are not finite"


def check_purity(subject: Subject) -> None:
    """Inputs are left as they are, and the result shares no memory with them."""
    for base, sources, parameters in _cases(subject):
        inputs = [*sources, *([] if base is None else [base])]
        before = [tensor.clone() for tensor in inputs]
        for chosen in (parameters, subject.parameters(len(sources), usual=True)):
            result = subject.merge(base, sources, chosen)
            assert all(map(torch.equal, inputs, before)), "an input was changed"
            shared = [tensor for tensor in inputs if _storage(tensor) == _storage(result)]
            assert not shared, "the result shares memory with an input, so that changing one changes the other"


def check_determinism(subject: Subject) -> None:
    """Only inputs, parameters and `parameters.seed` count: no global random state, no memory of earlier calls."""
    for base, sources, parameters in _cases(subject):
        _seed_everything(1)
        before = _global_state()
        first = subject.merge(base, sources, parameters)
        assert _global_state() == before, "the global random state of torch, numpy or `random` was changed"
        _seed_everything(2)
        assert _same_bits(subject.merge(base, sources, parameters), first), (
            "the same inputs gave another result under another global random state: draw from parameters.seed alone"
        )
        instance = subject.method()
        subject.merge(base, [source + 1 for source in sources], subject.parameters(len(sources), seed=6), instance)
        assert _same_bits(subject.merge(base, sources, parameters, instance), first), (
            "an earlier call changed the result"
        )


def check_equal_inputs(subject: Subject) -> None:
    """Sources equal to the base have changed nothing: whatever the parameters, the base comes out."""
    if not subject.method.base_required and not subject.method.base_optional:
        return
    for _, sources, parameters in _cases(subject):
        for tensor in (sources[0], torch.zeros_like(sources[0])):
            result = subject.merge(tensor, [tensor] * len(sources), parameters)
            _assert_close(result, tensor, f"{len(sources)} source(s) equal to the base did not give it back")
            if subject.method.keeps_base:
                assert torch.equal(result, tensor), "`keeps_base` promises the base's own bits, but others came out"


def check_preparation(subject: Subject) -> None:
    """What `prepare` gives changes no result; it only spares work."""
    for base, sources, parameters in _cases(subject):
        prepared = subject.method().prepare(base, sources)
        first, second = (
            subject.merge(base, sources, chosen) for chosen in (parameters, replace(parameters, prepared=prepared))
        )
        assert _same_bits(first, second), "what `prepare` gave changed the result"


def check_one_source(subject: Subject) -> None:
    """One source with weight 1, other parameters at their defaults, gives that source."""
    if not subject.weighted or not subject.reproduces or subject.method.source_count[0] > 1:
        return
    for base, sources, _ in _cases(subject):
        result = subject.merge(base, sources[:1], subject.parameters(1, usual=True))
        _assert_close(result, sources[0], "one source with weight 1 did not give that source")


def check_average(subject: Subject) -> None:
    """Equal sources whose weights (if they have any) sum to one, with defaults otherwise, give themselves."""
    if not subject.averages or subject.method.source_count[1] == 1:
        return
    for base, sources, _ in _cases(subject):
        parameters = subject.parameters(len(sources), usual=True)
        for tensor in (sources[0], torch.zeros_like(sources[0])):
            result = subject.merge(base, [tensor] * len(sources), parameters)
            _assert_close(result, tensor, f"{len(sources)} equal sources did not give themselves")


def check_symmetry(subject: Subject) -> None:
    """Sources in another order, with their parameters, give the same: compared at defaults, where no chance plays."""
    if not subject.symmetric:
        return
    for base, sources, _ in _cases(subject):
        count = len(sources)
        usual = subject.parameters(count, usual=True)
        own = {**usual.per_source}
        if subject.weighted:
            own["weight"] = tuple((number + 1) / (count * (count + 1) / 2) for number in range(count))
        turned = {name: values[::-1] for name, values in own.items()}
        there = subject.merge(base, sources, MergeParameters(own, usual.shared, usual.seed))
        back = subject.merge(base, sources[::-1], MergeParameters(turned, usual.shared, usual.seed))
        _assert_close(back, there, "the order of the sources changed the result (symmetric=False if that is meant)")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_identity,
    check_parameters,
    check_result,
    check_purity,
    check_determinism,
    check_equal_inputs,
    check_preparation,
    check_one_source,
    check_average,
    check_symmetry,
)


def _cases(subject: Subject) -> Iterator[tuple[torch.Tensor | None, list[torch.Tensor], MergeParameters]]:
    """Base, sources and parameters for each number of sources, shape and dtype; sources differ little from the base."""
    generator = torch.Generator().manual_seed(4)
    for count in subject.counts:
        for dtype in TOLERANCE:
            for shape in SHAPES:
                base = torch.randn(shape, generator=generator)
                sources = [(base + 0.3 * torch.randn(shape, generator=generator)).to(dtype) for _ in range(count)]
                parameters = subject.parameters(count)
                if subject.method.base_required or subject.method.base_optional:
                    yield base.to(dtype), sources, parameters
                if not subject.method.base_required:
                    yield None, sources, parameters


def _assert_close(result: torch.Tensor, expected: torch.Tensor, otherwise: str) -> None:
    gap = float((result.double() - expected.double()).abs().max())
    limit = TOLERANCE[expected.dtype] * (1 + float(expected.double().abs().max()))
    assert gap <= limit, f"{otherwise} ({expected.dtype}, shape {list(expected.shape)}): off by {gap:.3g}"


def _same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.equal(left.contiguous().view(torch.uint8), right.contiguous().view(torch.uint8))


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # the global state is what is checked


def _global_state() -> tuple[object, ...]:
    name, keys, *rest = np.random.get_state()
    torchs = torch.get_rng_state().numpy().tobytes()
    return (torchs, random.getstate(), name, np.asarray(keys).tobytes(), *rest)
