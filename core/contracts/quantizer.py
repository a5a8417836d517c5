"""Contract `heterosis.quantizers`: how codes and scales are chosen for a weight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from ..quantization.activations import LinearArithmetic
from ..quantized_tensor import QuantizedTensor
from .format import Format


@dataclass(frozen=True)
class Calibration:
    """What is known of a linear layer's inputs x.

    Attributes:
        gram: mean of x x^T over tokens, float32, shape (in, in), positive semidefinite.
        maxima: largest |x|, float32, shape (in,); None if it was not gathered.
    """

    gram: torch.Tensor
    maxima: torch.Tensor | None = None

    @property
    def importance(self) -> torch.Tensor:
        """E[x^2], shape (in,)."""
        return self.gram.diagonal().clamp_min(0)


class Quantizer(ABC):
    """Chooses codes: pure (same inputs, same output; inputs are left as they are) and deterministic.

    Attributes:
        needs_calibration: whether it cannot do without `Calibration`; others use it if it is there.
        options: what a recipe may set (`quantize: {options: {NAME: {...}}}`), with the defaults, which are for good: a
            recipe that leaves one out means the same for ever.
        source: paper or repository, with the year.
    """

    name: ClassVar[str]
    needs_calibration: ClassVar[bool] = False
    options: ClassVar[Mapping[str, float | int | bool | str]] = {}
    source: ClassVar[str] = ""

    def misfit(self, format: Format) -> str | None:  # noqa: A002  (the field's word)
        """Why it cannot quantise to this format, for people; None if it can."""
        return None

    def advice(self, format: Format) -> Mapping[str, float | int | bool | str]:  # noqa: A002
        """Options that are better than the defaults: studies set them where they are not told otherwise, and their
        recipes say so."""
        return {}

    @abstractmethod
    def quantize(
        self,
        weight: torch.Tensor,
        format: Format,  # noqa: A002
        calibration: Calibration | None,
        options: Mapping[str, float | int | bool | str],
    ) -> QuantizedTensor:
        """Quantises one matrix.

        Args:
            weight: floating point, in the dtype of the model, shape (out, in), one that `format` fits.
            calibration: of the layer's inputs; None if there is none.
            options: a value for each of the declared ones.

        Raises:
            MaterialiseError: it cannot be done with these numbers (calibration that is not finite, for example).
        """

    def arithmetic(self, tensor: QuantizedTensor) -> LinearArithmetic | None:
        """How a layer with this weight, which it quantised, computes; None: the plain product."""
        return None
