"""Replaces the model that a request body names, and no other byte of it."""

import json
import re
from collections.abc import Iterator

__all__ = ["with_model"]

# A body that begins with its model, as most clients write it.
_FIRST = re.compile(rb'\s*+\{\s*+"model"\s*+:\s*+("[^"\\]*+")')
# The tokens of JSON that matter here: strings, and what opens, closes and divides values.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]:,]', re.DOTALL)
_NAME = b'"model"'


def with_model(body: bytes, model: str) -> bytes:
    """The body with another value for each `model` of its outermost object.

    `body` is a valid JSON object. Objects within it may have a `model` of their own, which stays.
    """
    name = json.dumps(model, ensure_ascii=False).encode("utf-8", "surrogatepass")
    first = _FIRST.match(body)
    if first is not None and _names_it_once(body):
        return body[: first.start(1)] + name + body[first.end(1) :]
    pieces, end = [], 0
    for start, stop in _values(body):
        pieces += [body[end:start], name]
        end = stop
    return b"".join([*pieces, body[end:]])


def _names_it_once(body: bytes) -> bool:
    # A name may be written with escapes: "model".
    return body.count(_NAME) == 1 and b"\\u00" not in body


def _values(body: bytes) -> Iterator[tuple[int, int]]:
    """Where the values of `model` in the outermost object begin and end."""
    depth = 0
    is_name = is_sought = False
    start = -1
    for token in _TOKEN.finditer(body):
        sign = token[0][:1]
        if sign == b'"':
            if depth == 1 and is_name:
                is_sought = json.loads(token[0]) == "model"
            elif depth == 1 and is_sought and start >= 0:
                yield token.start(), token.end()
                start = -1
        elif sign in b"{[":
            depth += 1
            is_name = sign == b"{" and depth == 1
        elif sign in b"}]":
            depth -= 1
        elif depth == 1 and sign == b":":
            is_name = False
            start = token.end() if is_sought else -1
        elif depth == 1 and sign == b",":
            is_name, is_sought, start = True, False, -1
