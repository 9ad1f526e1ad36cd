"""The quickest reading of request lines: many at once, if they are laid out as the first is.

Nearly all programs write custom_id, method, url and body in this order and nothing else, with the
same spaces in each line. Then one decode of a line, and the places where its parts stand, prove
that it is sound.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import DecodeError, Struct

from batchyard.rules.endpoints import EMBEDDINGS, ENDPOINTS
from batchyard.rules.kinds import BODIES, Kinds, Run, seer
from batchyard.rules.limits import Limits
from batchyard.rules.lines import brackets, count_inputs, is_shallow

__all__ = ["Alike"]

# Up to the custom_id there is room for three spaces; another key would need more. It takes long
# to compile, so that is not done for a file of few lines.
_LAYOUT = (
    rb'(\{ ?"custom_id" ?: ?")[^"\\]++'
    rb'(" ?, ?"method" ?: ?"POST" ?, ?"url" ?: ?"([^"\\]++)" ?, ?"body" ?: ?\{)'
)
# Whoever has fewer lines need not wait until the decoder is made.
_LINES_MIN = 8

_Body = TypeVar("_Body")


class _Row(Struct, Generic[_Body], gc=False, forbid_unknown_fields=True):
    custom_id: str
    method: Literal["POST"]
    url: Literal[tuple(ENDPOINTS)]  # type: ignore[valid-type]
    body: _Body


class Alike:
    """Reads lines of these kinds, none of which it judges; two threads do not share it."""

    def __init__(self, limits: Limits, kinds: Kinds) -> None:
        self._limits, self._kinds = limits, kinds
        self._models: list[Any] = []
        self._decoders: dict[str, Callable[[bytes], Any]] = {}

    def read(self, lines: Sequence[bytes]) -> Run | None:
        """Read lines in UTF-8, or none of them, though all may be sound.

        What makes sure of a line, beside that it is JSON with nothing but the four keys and a body
        that has what it needs:

        - Each body names one model at least, and there are no more models than lines: no line has
          two bodies, and no body two models.
        - What stands between custom_id and body begins so early that the custom_id alone fits
          before it, without escapes, and once.
        - It ends with the end of an object: that of the body, as the others are texts. So nothing
          stands behind the body, which reaches from the one to the other.
        """
        if len(lines) < _LINES_MIN or (layout := re.match(_LAYOUT, lines[0])) is None:
            return None
        url, between, before = layout[3].decode(), layout[2], layout.end(1)
        kinds = self._kinds.get(url)
        if not kinds or (decode := self._decoder(url)) is None:
            return None
        end = b"}}\r\n" if lines[0].endswith(b"\r\n") else b"}}\n"
        self._models.clear()
        try:
            rows = list(map(decode, lines))
            models = _counted(self._models)
        except (DecodeError, RecursionError, TypeError):
            return None
        custom_ids = [row.custom_id for row in rows]
        sizes = self._sizes(custom_ids)
        if (
            len(self._models) != len(lines)
            or not models.keys() <= kinds.keys()
            or True in {row.body.stream for row in rows}
            or not sizes
            or not _stand(lines, sizes, before, between, end)
            or not _are_shallow(lines, self._limits)
        ):
            return None
        for model, count in models.items():
            kinds[model].lines += count
        around = before + len(between) - len(b"{") + len(end) - len(b"}")
        size_bytes = sum(map(len, lines))
        return Run(
            custom_ids,
            size_bytes,
            size_bytes - sum(sizes) - around * len(lines),
            sum(count_inputs(row.body.input) for row in rows) if url == EMBEDDINGS else 0,
            b"",
        )

    def _sizes(self, custom_ids: list[str]) -> list[int]:
        """How many bytes each custom_id has; nothing where one is unusual."""
        text = "".join(custom_ids)
        sizes = list(map(len, custom_ids if text.isascii() else map(str.encode, custom_ids)))
        known = set(sizes)
        usual = 0 not in known and max(known) <= self._limits.custom_id_bytes_max
        return sizes if usual and text.isprintable() else []

    def _decoder(self, url: str) -> Callable[[bytes], Any] | None:
        """What reads lines of a url; None where a line may name no model."""
        if url not in self._decoders and "model" in ENDPOINTS[url].required:
            row: Any = _Row
            decoder = msgspec.json.Decoder(
                row[BODIES[ENDPOINTS[url].url]], dec_hook=seer(self._models)
            )
            self._decoders[url] = decoder.decode
        return self._decoders.get(url)


def _counted(models: list[Any]) -> Counter[Any]:
    """How often each stands there; most often all are one."""
    first, count = models[0], len(models)
    return Counter({first: count} if models.count(first) == count else models)


def _stand(
    lines: Sequence[bytes], sizes: list[int], before: int, between: bytes, end: bytes
) -> bool:
    """Whether all parts of all lines stand where they are sought."""
    places = {size: slice(before + size, before + size + len(between)) for size in set(sizes)}
    found = [line[places[size]] for line, size in zip(lines, sizes, strict=True)]
    behind = slice(-len(end), None)
    return found.count(between) == len(lines) == [line[behind] for line in lines].count(end)


def _are_shallow(lines: Sequence[bytes], limits: Limits) -> bool:
    """Whether lines nest as deep as is allowed; most have too few brackets, even some together."""
    at_once = limits.nesting_max // (brackets(lines[0]) or 1) or 1
    for start in range(0, len(lines), at_once):
        some = lines[start : start + at_once]
        together = brackets(b"".join(some)) <= limits.nesting_max
        if not (together or all(is_shallow(line, limits) for line in some)):
            return False
    return True
