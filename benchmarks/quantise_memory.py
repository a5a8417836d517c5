"""What quantising one large matrix takes of memory, seen from outside: the growth of the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psutil
import torch
from heterosis.core.contracts import Calibration
from heterosis.core.quantization.level import Level

from .quantise_calibrated import second_moments

SIZE = 4096
"""Its float32 takes 64 MiB, which the allocator gives back at once, so that growth is what is in use."""
LEVELS = ("int4", "int4-asym", "fp8_e4m3", "nf4-dq", "mxfp4", "nvfp4", "q4_0", "q4_k", "q6_k", "gptq:int4")


def memory_rows() -> Iterator[tuple[str, float]]:
    """By level, the most that the process grew by while quantising and dequantising, in float32 matrices."""
    weight = (torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 0.02).bfloat16()
    gram = second_moments(256).repeat(SIZE // 256, SIZE // 256) * 0.1
    gram.diagonal().add_(1.0)
    calibration = Calibration(gram)
    for label in LEVELS:
        level = Level.parse(label)
        assert level is not None
        plugin = level.plugin
        with _Growth() as growth:
            given = calibration if plugin.needs_calibration else None
            plugin.quantize(weight, level.format, given, plugin.options).dequantize(weight.dtype)
        yield label, growth.most / (4 * SIZE * SIZE)


class _Growth:
    """Attributes: `most`: bytes by which the process grew beyond what it had on entering."""

    def __enter__(self) -> _Growth:
        self._process = psutil.Process()
        self._before = self.most = self._process.memory_info().rss
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.most = max(self.most - self._before, 0)

    def _watch(self) -> None:
        while not self._ended.wait(0.002):
            self.most = max(self.most, self._process.memory_info().rss)
