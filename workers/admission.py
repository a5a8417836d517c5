"""Whether this machine can evaluate a study's candidates as the one that it was set up on would."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..core.checkpoints.references import parts_of
from ..core.errors import CheckpointError, PluginError
from ..core.named_plugins import OWN, distributions_of, named_plugins
from ..core.registry import distributions
from ..core.study_spec import StudySpec
from .roots import check_confined, resolve_folder


def admit(
    content: Mapping[str, Any],
    versions: Mapping[str, str],
    models: Mapping[str, str],
    roots: Sequence[str | Path] = (),
    folders: Mapping[str, str] | None = None,
) -> StudySpec:
    """The study, if it can be evaluated here.

    Args:
        content: as recorded (`StudyRecord.spec`), with its folder.
        versions: by distribution, as recorded (`StudyRecord.plugin_versions`).
        models: by reference, the SHA-256 of each checkpoint as recorded (`Store.studies.models`).
        roots: see `configured_roots`.
        folders: see `resolve_folder`.

    Raises:
        PluginError: a plugin is missing here, or of another version.
        CheckpointError: a checkpoint cannot be had, is another than recorded, or could change at any time.
        ConfigurationError: something named is outside the roots, or the study's folder is not here.
    """
    settings = dict(content)
    folder = resolve_folder(settings.pop("folder"), folders or {})
    try:
        spec = StudySpec.from_dict(settings, folder, f"study {settings.get('study')!r}")
    except PluginError as error:
        raise PluginError(f"{error}{_missing(versions)}") from error
    check_study(spec, versions)
    check_pinned(spec)
    check_confined(spec, [Path(root) for root in roots])
    check_models(spec, models)
    return spec


def check_study(spec: StudySpec, recorded_versions: Mapping[str, str]) -> None:
    """Whether the plugins that a study names are here what they were where it was set up, and Heterosis itself.

    Other libraries (torch, transformers) may differ: they are part of what is recorded with each result.

    Args:
        recorded_versions: by distribution; if nothing was recorded, there is nothing to compare with.

    Raises:
        PluginError: a plugin is missing, of another version, or comes from another distribution.
    """
    here = distributions_of(spec)
    for distribution, installed in here.items() if recorded_versions else ():
        recorded = recorded_versions.get(distribution)
        if recorded == installed:
            continue
        brings = f"brings {_brought(spec, distribution)}"
        if recorded is None:
            raise PluginError(
                f"{distribution} {installed} {brings} on this machine ({platform.node()}), and another distribution "
                f"did where the study was set up: uninstall {distribution} here{_missing(recorded_versions)}"
            )
        what = "" if distribution == OWN else f", which {brings},"
        raise PluginError(
            f"the study was set up with {distribution} {recorded}{what} and this machine ({platform.node()}) has "
            f"{installed}: install the same (pip install '{distribution}=={recorded}') and start the worker again"
        )


def check_pinned(spec: StudySpec) -> None:
    """Whether everything that would be fetched is pinned, so that every machine fetches the same.

    Raises:
        CheckpointError: a reference names what its owner may change.
    """
    for reference in (spec.space.base, *spec.space.labelled.values()):
        for part in parts_of(reference, spec.space.relative_to):
            provider = part.provider
            if provider is not None and not provider.is_pinned(part.rest):
                name = part.rest.partition("@")[0]
                raise CheckpointError(
                    f"{part.text!r} may be another checkpoint tomorrow, so workers do not fetch it: write "
                    f"{part.scheme}:{name}@COMMIT, with all 40 digits of the commit, in the study file and start the "
                    "study anew (one that is set up after its checkpoints were fetched is pinned by itself)"
                )


def check_models(spec: StudySpec, recorded: Mapping[str, str]) -> None:
    """Whether the checkpoints here are those that the study began with; reads all of them once.

    Args:
        recorded: SHA-256 by reference, the statistics' among them.

    Raises:
        CheckpointError: one cannot be had, or is another.
    """
    checkpoints = spec.space.checkpoints
    for reference in checkpoints:
        here = checkpoints[reference].fingerprint
        then = recorded.get(reference, here)
        if here != then:
            raise CheckpointError(
                f"the checkpoint {reference!r} is another on this machine ({platform.node()}, in "
                f"{checkpoints[reference].directory}) than the study began with (SHA-256 {here[:12]}..., was "
                f"{then[:12]}...): copy the study's to this place, and start the worker again"
            )


def _brought(spec: StudySpec, distribution: str) -> str:
    named = [one for one in named_plugins(spec) if distribution in distributions(*one)]
    if not named:
        return "the worker"
    kind, name = named[0]
    return f"the {kind.replace('_', ' ').removesuffix('s')} {name!r}"


def _missing(recorded: Mapping[str, str]) -> str:
    """What to install, in words: of what was recorded, that which is not here at all."""
    absent = [f"{name}=={was}" for name, was in recorded.items() if not _is_installed(name)]
    return f". The study was set up with {', '.join(absent)}: pip install {' '.join(absent)}" if absent else ""


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
