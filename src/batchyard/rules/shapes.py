"""The shapes of request lines: what stands around the two places in which lines mostly differ.

A line that is a sound one with another custom_id and another text is sound too, if these two are.
To see that takes a fraction of the time that it takes to read the whole line.
"""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchyard.rules.endpoints import ENDPOINTS
from batchyard.rules.limits import Limits
from batchyard.rules.lines import depth

__all__ = ["Shape", "is_shallow", "shape_of"]

_HEADS = (b'{"custom_id":"', b'{"custom_id": "')
_SHAPE_BYTES_MAX = 256 << 10
# Nesting that is left to the text.
_TEXT_DEPTH_MAX = 48
# The shortest envelope is 48 bytes around its values. In one that is at most 8 bytes longer no key
# stands twice, for the shortest of the four keys, with a value, would need 9.
_ENVELOPE_BYTES_MAX = len('{"custom_id":"","method":"POST","url":"","body":}') + 8


class Shape(Struct, frozen=True, gc=False):
    """Lines that read head, custom_id, middle, text, tail.

    The text is the value of messages, input or prompt. `body_bytes` leaves it out.
    """

    head: bytes
    middle: bytes
    tail: bytes
    id_start: int
    body_bytes: int
    url: str
    model: str


def shape_of(line: bytes, limits: Limits) -> Shape | None:
    """The shape of a line in UTF-8, if nothing about it calls for the exact examination."""
    try:
        row = _row_decoder.decode(line)
        body = _body_decoder.decode(row.body)
    except (msgspec.DecodeError, RecursionError):
        return None
    endpoint, parts = ENDPOINTS.get(row.url), _cut(line, body)
    if endpoint is None or parts is None:
        return None
    head, middle, text, tail = parts
    around = b'"' + middle + tail
    body_bytes = len(bytes(row.body))
    id_bytes = len(line) - len(head) - len(middle) - len(text) - len(tail)
    if (
        row.method != "POST"
        or body.stream
        or any(getattr(body, name) in (UNSET, "") for name in endpoint.required)
        or len(line) - id_bytes - body_bytes - len(row.url) > _ENVELOPE_BYTES_MAX
        or around.count(b'"model"') != bool(body.model)
        or len(body.model) > limits.model_bytes_max // 4
        # An escaped letter could spell a key that stands there already.
        or b"\\u00" in around
        or not _is_shallow(around, limits.nesting_max - _TEXT_DEPTH_MAX)
        or len(around) > _SHAPE_BYTES_MAX
    ):
        return None
    return Shape(head, middle, tail, len(head), body_bytes - len(text), row.url, body.model)


def is_shallow(text: bytes) -> bool:
    """Whether the text of a line nests little; mostly it has too few brackets to do otherwise."""
    return _is_shallow(text, _TEXT_DEPTH_MAX)


def _is_shallow(text: bytes, most: int) -> bool:
    return text.count(b"{") + text.count(b"[") <= most or depth(text) <= most


class _Row(Struct, gc=False):
    custom_id: str
    method: str
    url: str
    body: Raw


class _Body(Struct, gc=False):
    model: str = ""
    stream: bool | None = None
    messages: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET


_row_decoder = msgspec.json.Decoder(_Row)
_body_decoder = msgspec.json.Decoder(_Body)


def _cut(line: bytes, body: _Body) -> tuple[bytes, bytes, bytes, bytes] | None:
    """A line as what stands before its custom_id, what follows it, its text, and the rest."""
    for head in _HEADS:
        if line.startswith(head):
            break
    else:
        return None
    if body.messages is not UNSET:
        key, text = b'"messages":', bytes(body.messages)
    elif body.input is not UNSET:
        key, text = b'"input":', bytes(body.input)
    elif body.prompt is not UNSET:
        key, text = b'"prompt":', bytes(body.prompt)
    else:
        return None
    id_end = line.find(b'"', len(head))
    found = line.find(key, id_end)
    start = found + len(key)
    start += line[start : start + 1] == b" "
    # A list or a string shows where it ends, so what begins like the text here is one whole value.
    if found < 0 or text[:1] not in b'["' or not line.startswith(text, start):
        return None
    if b"\\" in line[len(head) : id_end]:
        return None
    return head, line[id_end:start], text, line[start + len(text) :]
