"""Answers that are nothing but text, as most are, read in one go."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

__all__ = ["plain_of"]


class _Part(Struct, gc=False):
    text: str
    refusal: None = None


class _Message(Struct, gc=False):
    content: str
    refusal: None = None


class _Choice(Struct, gc=False):
    message: _Message
    finish_reason: Literal["stop"] | None = None


class _Output(Struct, gc=False):
    type: Literal["message", "reasoning"]
    content: list[_Part] | None = None
    refusal: None = None


class _Body(Struct, gc=False):
    choices: list[_Choice] = []
    output: list[_Output] = []
    incomplete_details: None = None


class _Response(Struct, gc=False):
    status_code: int
    body: _Body


class _Line(Struct, gc=False):
    custom_id: str
    response: _Response


def plain_of(line: bytes) -> tuple[str, Sequence[str]] | None:
    """The custom_id and the texts of a result line with an answer in which all is well.

    None where anything is out of the ordinary: that is for who has more patience.
    """
    try:
        found = _decode(line)
        if not line.isascii():
            line.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    body = found.response.body
    if not 200 <= found.response.status_code < 300 or (body.choices and body.output):
        return None
    if not body.output:
        return found.custom_id, [one.message.content for one in body.choices]
    said = [one.content for one in body.output if one.type == "message"]
    return found.custom_id, ["".join(part.text for parts in said for part in parts or ())]


_decode = msgspec.json.Decoder(_Line).decode
