"""Many texts in one line of embeddings, and their vectors apart again, in order."""

import base64
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Unpack

import msgspec

from batchyard.client.building.requests import EmbeddingOptions, Request, embeddings

__all__ = ["INPUTS_MAX", "OWN_INPUTS", "PackError", "count_in", "floats", "pack", "unpack"]

# OpenAI's reference, November 2026: inputs of one request, and tokens over all of them. A token
# has one byte at least.
INPUTS_MAX = 2_048
_BYTES_MAX = 300_000
# Texts of one request to a server of one's own. Many compute one request after the other: as many
# as OpenAI takes would be minutes there, run into time-outs, and be computed again.
OWN_INPUTS = 64
# Tokens of one input: what has no more bytes has no more tokens either. What has more may be too
# long for the model, and then no text should fail that happens to stand beside it.
_BYTES_BESIDE_OTHERS_MAX = 8_192
_NAME = re.compile(r"inputs-(\d+)-(\d+)")


class PackError(ValueError):
    """A line of packed embeddings does not hold what its custom_id says."""


def pack(
    texts: Iterable[str | Sequence[int]],
    *,
    model: str,
    per_line: int = INPUTS_MAX,
    bytes_max: int = _BYTES_MAX,
    **options: Unpack[EmbeddingOptions],
) -> Iterator[Request]:
    """Requests for the embeddings of texts, as many in each as fit; long ones are alone.

    The custom_id says which texts a line has, by position: `unpack` needs nothing else.
    """
    held: list[Any] = []
    size = first = 0
    for text in texts:
        if not len(text):
            raise PackError(f"The text at position {first + len(held)} is empty.")
        own = len(text.encode()) if isinstance(text, str) else len(text)
        is_long = max(own, size if len(held) == 1 else 0) > _BYTES_BESIDE_OTHERS_MAX
        if held and (is_long or len(held) >= per_line or size + own > bytes_max):
            yield _line(first, held, model, options)
            first += len(held)
            held, size = [], 0
        held.append(text if isinstance(text, str) else list(text))
        size += own
    if held:
        yield _line(first, held, model, options)


def unpack(lines: Iterable[bytes | str | Mapping[str, Any]]) -> Iterator[tuple[int, list[float]]]:
    """The position and the vector of each text, of lines of an output file in any order.

    Lines that have no answer are passed over: the positions they cover have no vector. A line
    that has fewer or more vectors than texts raises PackError.
    """
    for line in lines:
        found = line if isinstance(line, Mapping) else msgspec.json.decode(line)
        answer = found.get("response")
        if not answer or answer["status_code"] >= 300:
            continue
        named = _NAME.fullmatch(found["custom_id"])
        if named is None:
            raise PackError(f"The custom_id '{found['custom_id']}' is not one that `pack` made.")
        first, count = int(named[1]), int(named[2])
        vectors = {one["index"]: floats(one["embedding"]) for one in answer["body"]["data"]}
        if sorted(vectors) != list(range(count)):
            raise PackError(
                f"The line '{found['custom_id']}' has {len(vectors)} vectors for {count} texts."
            )
        for index in range(count):
            yield first + index, vectors[index]


def count_in(custom_id: str) -> int:
    """How many texts a line has, by its custom_id; 1 where `pack` has not made it."""
    named = _NAME.fullmatch(custom_id)
    return 1 if named is None else int(named[2])


def _line(first: int, held: list[Any], model: str, options: EmbeddingOptions) -> Request:
    return embeddings(f"inputs-{first:08d}-{len(held)}", model=model, input=held, **options)


def floats(given: Any) -> list[float]:
    """A vector, which may come in base64."""
    if isinstance(given, str):
        numbers = array("f")
        numbers.frombytes(base64.b64decode(given))
        return numbers.tolist()
    return [float(one) for one in given]
