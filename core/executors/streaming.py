"""Tensors on an accelerator: resident while they fit, else in pinned memory and copied while others compute."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from .tensors import StoredTensor, Tensor

_LEFT_FREE = 0.2
"""The share of the device's memory that is left to whatever runs on the model."""


def placed(tensor: torch.Tensor, device: torch.device) -> Tensor:
    """The tensor on the device if there is room for it, else one that is streamed there whenever it is needed."""
    if device.type != "cuda" or tensor.device == device:
        return StoredTensor(tensor.to(device))
    free, whole = torch.cuda.mem_get_info(device)
    if free - tensor.nbytes > _LEFT_FREE * whole:
        return StoredTensor(tensor.to(device))
    return StreamedTensor(tensor.contiguous().pin_memory(), device)


@dataclass
class StreamedTensor(Tensor):
    """A tensor in pinned memory; `fetch` begins to copy it on a stream of its own, `whole` waits for that."""

    pinned: torch.Tensor
    device: torch.device
    _arriving: tuple[torch.Tensor, torch.cuda.Event] | None = field(default=None, init=False)

    def fetch(self) -> None:
        """See `Tensor.fetch`."""
        if self._arriving is None:
            stream = _copies(self.device)
            with torch.cuda.stream(stream):
                tensor = self.pinned.to(self.device, non_blocking=True)
            self._arriving = tensor, stream.record_event()

    def whole(self) -> torch.Tensor:
        """See `Tensor.whole`."""
        self.fetch()
        assert self._arriving is not None
        (tensor, arrived), self._arriving = self._arriving, None
        current = torch.cuda.current_stream(self.device)
        current.wait_event(arrived)
        tensor.record_stream(current)
        return tensor

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Tensor.rows`."""
        return self.whole()[start:stop].reshape(-1)


_streams: dict[torch.device, torch.cuda.Stream] = {}


def _copies(device: torch.device) -> torch.cuda.Stream:
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return _streams[device]
