"""What a GGUF file says of a tokenizer, from Hugging Face's files: byte-level BPE, or SentencePiece's BPE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType
from tokenizers import Tokenizer

from ...core.checkpoints.base import read_json
from ...core.errors import ConfigurationError

_ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {f"{_ENGLISH}\\p{{N}}{_REST}": "qwen2", f"{_ENGLISH}\\p{{N}}{{1,3}}{_REST}": "llama-bpe"}
"""Where text is split before merges, and llama.cpp's name of it."""
_SPECIAL = ("bos", "eos", "unk", "pad")


def add_tokenizer(writer: GGUFWriter, folder: Path, size: int) -> None:
    """Adds tokens, merges or scores, special tokens and the chat template.

    Args:
        folder: with tokenizer.json and perhaps tokenizer_config.json and chat_template.jinja.
        size: number of rows of the embeddings; tokens that are lacking are marked unused.

    Raises:
        ConfigurationError: it is of a kind that llama.cpp does not know, or has more tokens than `size`.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ConfigurationError("gguf: the model has no tokenizer.json; save its tokenizer as a fast one first")
    content = read_json(folder / "tokenizer.json")
    model = content["model"]
    if model.get("type") != "BPE":
        raise ConfigurationError(f"gguf: tokenizers of type BPE are written, and this is {model.get('type')!r}")
    if model.get("byte_fallback"):
        name, pre = "llama", "default"
    else:
        name, pre = "gpt2", _splitting(content.get("pre_tokenizer"))
    tokens, types = _tokens(content, size)
    writer.add_tokenizer_model(name)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    merges = [one if isinstance(one, str) else " ".join(one) for one in model["merges"]]
    if name == "llama":
        writer.add_token_scores(_scores(tokens, merges))
        writer.add_add_space_prefix(_adds_space(content))
    writer.add_token_types(types)
    if name == "gpt2":
        writer.add_token_merges(merges)
    _add_special(writer, folder)


def _splitting(pre_tokenizer: Mapping[str, Any] | None) -> str:
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer or {}])
    kinds = [step.get("type") for step in steps]
    last = steps[-1]
    if kinds[-1] == "ByteLevel" and not last.get("add_prefix_space"):
        if kinds == ["ByteLevel"]:
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
            return "smollm"
        if kinds == ["Split", "ByteLevel"] and not last.get("use_regex", True):
            found = _SPLITS.get(steps[0]["pattern"].get("Regex"))
            if found is not None:
                return found
    raise ConfigurationError(
        "gguf: llama.cpp has no name that is known here for how this tokenizer splits text; it is none of gpt-2, "
        "smollm, qwen2, llama-bpe. Choose another target"
    )


def _tokens(content: Mapping[str, Any], size: int) -> tuple[list[str], list[TokenType]]:
    numbers: dict[int, str] = {number: token for token, number in content["model"]["vocab"].items()}
    types = dict.fromkeys(numbers, TokenType.NORMAL)
    if content["model"].get("byte_fallback"):
        types |= {number: TokenType.BYTE for number, token in numbers.items() if _is_byte(token)}
        types |= {n: TokenType.UNKNOWN for n, token in numbers.items() if token == content["model"].get("unk_token")}
    for added in content.get("added_tokens", ()):
        numbers[added["id"]] = added["content"]
        if types.get(added["id"]) != TokenType.UNKNOWN:
            types[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    if max(numbers) >= size:
        raise ConfigurationError(f"gguf: the tokenizer has {max(numbers) + 1} tokens, the model rows for {size} only")
    tokens = [numbers.get(number, f"[PAD{number}]") for number in range(size)]
    return tokens, [types.get(number, TokenType.UNUSED) for number in range(size)]


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _scores(tokens: list[str], merges: list[str]) -> list[float]:
    """SentencePiece joins the pair with the best score first: the earlier merge."""
    rank: dict[str, int] = {}
    for number, merge in enumerate(merges):
        rank.setdefault(merge.replace(" ", ""), number)
    return [-float(rank[token]) if token in rank else -float(len(merges)) for token in tokens]


def _adds_space(content: Mapping[str, Any]) -> bool:
    normalizer, splitting = content.get("normalizer") or {}, content.get("pre_tokenizer") or {}
    steps = normalizer.get("normalizers", [normalizer])
    prepends = any(step.get("type") == "Prepend" for step in steps)
    return prepends or (splitting.get("type") == "Metaspace" and splitting.get("prepend_scheme", "always") != "never")


def _add_special(writer: GGUFWriter, folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    path = folder / "tokenizer_config.json"
    settings: Mapping[str, Any] = read_json(path) if path.is_file() else {}
    ids: dict[str, int] = {}
    for kind in _SPECIAL:
        token = settings.get(f"{kind}_token")
        number = tokenizer.token_to_id(token["content"] if isinstance(token, dict) else token) if token else None
        if number is not None:
            ids[kind] = number
            getattr(writer, f"add_{kind}_token_id")(number)
    encoded = tokenizer.encode("a").ids
    writer.add_add_bos_token(bool(encoded) and encoded[0] == ids.get("bos"))
    writer.add_add_eos_token(bool(encoded) and encoded[-1] == ids.get("eos"))
    template = folder / "chat_template.jinja"
    if template.is_file():
        writer.add_chat_template(template.read_text(encoding="utf-8"))
    elif isinstance(settings.get("chat_template"), str):
        writer.add_chat_template(settings["chat_template"])
