"""Contract `heterosis.bridges`: another library's methods as plugins, without an entry point for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar


class Bridge(ABC):
    """Makes plugins of one kind out of what another library has registered by name.

    A bridged plugin is found under its own name where no installed plugin has it, and always as `<bridge>/<name>`.
    What the library registers after the bridge was first asked counts too.
    """

    kind: ClassVar[str]

    @abstractmethod
    def names(self) -> Sequence[str]:
        """What is registered now; empty if the library is not installed."""

    @abstractmethod
    def load(self, name: str, called: str) -> type[Any]:
        """A plugin class for what the library registered as `name`.

        Args:
            called: the name that the plugin shall have: `name`, or `<bridge>/<name>`.

        Raises:
            PluginError: the library is not installed, has nothing of this name, or what it has cannot be bridged.
        """

    @abstractmethod
    def target(self, name: str) -> str:
        """Where the code of `name` is, `package.module:object`."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Name and version of the library."""
