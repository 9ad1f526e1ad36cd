"""Embeddings: vectors of length one that follow from the text alone."""

import math
import struct
from base64 import b64encode
from functools import lru_cache
from hashlib import shake_128
from typing import Any

from batchyard.sim.answers.reading import Reading, answer_json
from batchyard.sim.texts import input_tokens
from batchyard.wire.errors import ApiError

__all__ = ["answer_embeddings"]

_DIMENSIONS = 384
_DIMENSIONS_MAX = 8192


def answer_embeddings(reading: Reading) -> tuple[bytes, int]:
    """A list with one embedding per input; nothing is written, so it counts no tokens."""
    inputs = _inputs(reading.fields["input"])
    dimensions = reading.integer("dimensions", _DIMENSIONS, 1, _DIMENSIONS_MAX) or _DIMENSIONS
    form = reading.text("encoding_format", "float")
    if form not in ("float", "base64"):
        raise ApiError.invalid_value("encoding_format", form, ("float", "base64"))
    salt = b"%d " % reading.seed
    embeddings = [
        _EMBEDDING % (index, _vector(salt + answer_json(one), dimensions, form))
        for index, one in enumerate(inputs)
    ]
    read = sum(map(input_tokens, inputs))
    model = answer_json(reading.fields["model"])
    return _ANSWER % (b",".join(embeddings), model, read, read), 0


_ANSWER = b'{"object":"list","data":[%b],"model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d}}'
_EMBEDDING = b'{"object":"embedding","index":%d,"embedding":%b}'


def _inputs(given: Any) -> list[Any]:
    """The texts, or lists of token ids, each of which is embedded."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(one, int) for one in given):
            return [given]
        if all(isinstance(one, str | list) for one in given):
            return given
    raise ApiError(
        400, "'$.input' is invalid: expected a string, strings, or tokens.", param="input"
    )


def _vector(text: bytes, dimensions: int, form: str) -> bytes:
    """As JSON; every byte of a hash of the text picks two dimensions, the last one if odd."""
    pairs, singles = _steps(dimensions, form)
    digest = shake_128(text).digest((dimensions + 1) // 2)
    steps = [pairs[byte] for byte in digest]
    if dimensions % 2:
        steps[-1] = singles[digest[-1]]
    if form == "float":
        return b"[%b]" % b",".join(steps)
    return b'"%b"' % b64encode(b"".join(steps))


@lru_cache(maxsize=64)
def _steps(dimensions: int, form: str) -> tuple[list[bytes], list[bytes]]:
    """What a byte stands for: a point of a circle or, for a dimension without a partner, a sign.

    All are as far from 0 as makes the length of the vector one.
    """
    side = 1 / math.sqrt(dimensions)
    angles = [math.tau * (step + 0.5) / 256 for step in range(256)]
    radius = side * math.sqrt(2)
    points = [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]
    signs = [(side,) if step % 2 else (-side,) for step in range(256)]
    return [_shown(point, form) for point in points], [_shown(sign, form) for sign in signs]


def _shown(numbers: tuple[float, ...], form: str) -> bytes:
    packed = struct.pack(f"<{len(numbers)}f", *numbers)
    if form == "base64":
        return packed
    return answer_json(struct.unpack(f"<{len(numbers)}f", packed))[1:-1]
