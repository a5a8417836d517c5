"""Provider `hub`: a checkpoint of the Hugging Face Hub, at a pinned revision if one is given."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.constants import DEFAULT_REVISION
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name

from ...core.contracts import Provider
from ...core.contracts.provider import Progress
from ...core.errors import CheckpointError

_REFERENCE = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "tokenizer.model", "merges.txt", "*.jinja"]
_TIMEOUT_SECONDS = 5.0


class Hub(Provider):
    """`hub:OWNER/NAME@REVISION`; only weights in safetensors, config and tokenizer are fetched.

    Downloads are resumed and kept by huggingface_hub; its environment variables (HF_TOKEN, HF_ENDPOINT) hold.
    """

    name = "hub"

    def fetch(self, reference: str, cache: Path, progress: Progress) -> Path:
        """The folder of the snapshot.

        Raises:
            CheckpointError: the reference is not of this form, the hub does not answer, or it refuses.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise CheckpointError(f"'hub:{reference}' is not of the form hub:OWNER/NAME or hub:OWNER/NAME@REVISION")
        name, revision = match["name"], match["revision"]
        folder = cache / "hub"
        try:
            return Path(
                snapshot_download(
                    name, revision=revision, cache_dir=folder, allow_patterns=_FILES, local_files_only=True
                )
            )
        except LocalEntryNotFoundError:
            pass
        try:
            # Asked first with a short timeout, so that a machine without a hub is told so at once.
            HfApi().model_info(name, revision=revision, timeout=_TIMEOUT_SECONDS)
            progress(f"fetching {name}", 0, 0)
            return Path(snapshot_download(name, revision=revision, cache_dir=folder, allow_patterns=_FILES))
        except Exception as error:  # its HTTP client, and with it the errors, differs between versions
            raise CheckpointError(f"the hub does not give {name}: {_first_line(error)}") from error

    def is_pinned(self, reference: str) -> bool:
        """Whether it names a commit by all its 40 digits: branches and tags can be moved."""
        return _COMMIT.fullmatch(reference.partition("@")[2]) is not None

    def pinned(self, reference: str, cache: Path) -> str:
        """`OWNER/NAME@COMMIT`, of the commit that was fetched last under the revision that is named."""
        match = _REFERENCE.fullmatch(reference)
        if match is None or self.is_pinned(reference):
            return reference
        folder = cache / "hub" / repo_folder_name(repo_id=match["name"], repo_type="model")
        try:
            commit = (folder / "refs" / (match["revision"] or DEFAULT_REVISION)).read_text(encoding="utf-8").strip()
        except OSError:
            return reference
        return f"{match['name']}@{commit}" if _COMMIT.fullmatch(commit) else reference


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [repr(error)])[0]
