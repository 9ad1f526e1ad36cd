"""Embeddings: vectors of length one that follow from the text alone."""

import math
from array import array
from base64 import b64encode
from hashlib import shake_128
from typing import Any

import msgspec

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
    embeddings = []
    for index, one in enumerate(inputs):
        vector = _vector(salt + msgspec.json.encode(one), dimensions)
        shown = vector.tolist() if form == "float" else b64encode(vector.tobytes()).decode()
        embeddings.append({"object": "embedding", "index": index, "embedding": shown})
    read = sum(map(input_tokens, inputs))
    answer = {
        "object": "list",
        "data": embeddings,
        "model": reading.fields["model"],
        "usage": {"prompt_tokens": read, "total_tokens": read},
    }
    return answer_json(answer), 0


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


def _vector(text: bytes, dimensions: int) -> "array[float]":
    # Odd numbers are never 0, so that there is always a length to divide by.
    steps = [2 * step - 255 for step in shake_128(text).digest(dimensions)]
    scale = 1 / math.sqrt(sum(step * step for step in steps))
    return array("f", [step * scale for step in steps])
