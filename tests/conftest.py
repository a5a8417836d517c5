"""What every room's tests share: tiny checkpoints on disk, made once."""

import pytest
from heterosis.testing.checkpoints import write_tiny, write_tiny_adapter


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """A folder with a float32 Llama `base`, fine-tunes `one`, `two`, `three`, and adapters `lora-one`, `lora-two`."""
    folder = tmp_path_factory.mktemp("checkpoints")
    base = write_tiny(folder / "base")
    for seed, name in enumerate(("one", "two", "three"), start=1):
        write_tiny(folder / name, seed=seed, change=0.3)
    for seed, name in enumerate(("lora-one", "lora-two"), start=1):
        write_tiny_adapter(folder / name, base, seed=seed)
    return folder
