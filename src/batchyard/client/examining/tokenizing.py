"""Tokens of a request by OpenAI's own tokenizer, with the package tiktoken."""

from functools import cache
from typing import Any

import msgspec
import tiktoken

__all__ = ["METHOD", "count_tokens"]

METHOD = f"tiktoken {tiktoken.__version__}: texts exact, pictures and files not counted"
_NEWEST = "o200k_base"
_TEXTS = ("messages", "input", "instructions", "prompt", "tools", "response_format", "text")
# What a chat message and the beginning of an answer cost beside their text.
_AROUND_MESSAGE = _AROUND_ALL = 3


def count_tokens(model: str, body: bytes) -> int:
    """Input tokens of one request."""
    asked: dict[str, Any] = msgspec.json.decode(body)
    encoding = _encoding(model)
    messages = asked.get("messages")
    around = _AROUND_ALL + _AROUND_MESSAGE * len(messages) if isinstance(messages, list) else 0
    texts: list[str] = []
    tokens = 0
    for name in _TEXTS:
        tokens += _gather(asked.get(name), texts)
    return around + tokens + sum(len(encoding.encode_ordinary(text)) for text in texts)


@cache
def _encoding(model: str) -> Any:
    try:
        return tiktoken.encoding_for_model(model)
    except KeyError:
        return tiktoken.get_encoding(_NEWEST)


def _gather(value: Any, texts: list[str]) -> int:
    """Collect all texts of a value; returns how many tokens came as numbers already."""
    if isinstance(value, str):
        if not value.startswith("data:"):
            texts.append(value)
        return 0
    if isinstance(value, dict):
        return sum(_gather(one, texts) for one in value.values())
    if isinstance(value, list):
        return sum(_gather(one, texts) for one in value)
    return int(isinstance(value, int) and not isinstance(value, bool))
