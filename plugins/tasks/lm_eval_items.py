"""The documents of a harness's task as items: ids by content, prompts and requests built once."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from ...core.contracts import Item
from ...core.errors import ConfigurationError
from ...core.genome import content_hash
from .lm_eval_requests import check_request


def build_items(task: Any, where: str) -> tuple[tuple[Item, ...], dict[str, Any]]:
    """The items in the data set's order, and the document of each by id.

    An item's data are its document and its requests: lists of the kind and the arguments. Examples are drawn in the
    order of the documents, as the harness draws them over a whole data set.

    Raises:
        ConfigurationError: there are no documents, a prompt cannot be built, or it asks what cannot be answered.
    """
    items: dict[str, Item] = {}
    documents: dict[str, Any] = {}
    try:
        for place, document in task.doc_iterator():
            data = plain(document)
            name = content_hash(data)[:16]
            requests = _requests(task, document, place)
            if name not in items:
                items[name] = Item(name, {"doc": data, "requests": requests})
                documents[name] = document
    except Exception as error:  # templates and functions of the task
        raise ConfigurationError(f"{where}: its prompts cannot be built: {type(error).__name__}: {error}") from error
    if not items:
        raise ConfigurationError(f"empty task: {where} has no documents")
    for item in items.values():
        for request in item.data["requests"]:
            check_request(request, f"{where}, item {item.id}")
    return tuple(items.values()), documents


def _requests(task: Any, document: Any, place: int) -> list[list[Any]]:
    context = task.fewshot_context(
        document,
        num_fewshot=task.config.num_fewshot,
        system_instruction=None,
        apply_chat_template=False,
        fewshot_as_multiturn=False,
        chat_template=None,
        gen_prefix=task.doc_to_prefix(document),
    )
    made = task.construct_requests(
        doc=document,
        ctx=context,
        metadata=(task.config.task, place, task.config.repeats),
        apply_chat_template=False,
        chat_template=None,
    )
    instances = made if isinstance(made, list) else [made]
    return [[one.request_type, *plain(one.args)] for one in sorted(instances, key=lambda one: one.idx)]


def plain(value: Any) -> Any:
    """The same content, ready for canonical JSON: a function as its source, anything unknown as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, set | frozenset):
        return sorted(str(entry) for entry in value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if callable(value):
        try:
            return inspect.getsource(value)
        except (TypeError, OSError):
            return f"{type(value).__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return str(value)
