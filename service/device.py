"""Chooses the device that a search runs on."""

from __future__ import annotations

from ..core.errors import ConfigurationError


def chosen_device(name: str) -> str:
    """The device to use: `auto` is the first CUDA device, or else the CPU.

    Raises:
        ConfigurationError: there is no such device here.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch raises what its backends raise
        raise ConfigurationError(f"the device {name!r} cannot be used here. Usable: {', '.join(devices())}") from error
    return name


def devices() -> list[str]:
    """The names of the devices of this machine."""
    import torch

    found = ["cpu", *(f"cuda:{place}" for place in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found
