"""The quick reading of a request line: it takes what is sound beyond doubt, and judges nothing.

Two typed decodes do the work, one of the line and one of its body.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import DecodeError, Raw, Struct

from batchyard.rules.alike import Alike
from batchyard.rules.endpoints import EMBEDDINGS, ENDPOINTS, Endpoint
from batchyard.rules.kinds import BODIES, NO_MODEL, Kind, Kinds, Run, seer
from batchyard.rules.limits import Limits
from batchyard.rules.lines import count_inputs, is_shallow

__all__ = ["Glance"]

_SHORTEST = '{"custom_id":"","method":"POST","url":"%s","body":}'
# In a line that is at most 8 bytes longer than the shortest spelling of its values no key stands
# twice: one of the four and a value would need 9, another one and its value, both twice, 10.
_SPARE_BYTES = 8


class Glance:
    """Reads lines of the kinds that were welcomed; two threads do not share it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._models: list[Any] = []
        self._see_model = seer(self._models)
        self._keys: list[str] = []
        self._kinds: Kinds = {url: {} for url in ENDPOINTS}
        self._alike = Alike(limits, self._kinds)
        self._envelope = msgspec.json.Decoder(dict[_Key, Raw], dec_hook=self._see_key).decode
        self._readers = {url: self._reader(url, one) for url, one in ENDPOINTS.items()}

    def welcome(self, kind: Kind) -> None:
        """Read lines of this kind from now on, and count them in it."""
        self._kinds[kind.url][kind.model or NO_MODEL] = kind

    def read(self, lines: Sequence[bytes]) -> Run:
        """Read lines in UTF-8 up to an odd one.

        An odd line may be sound; it calls for the exact examination.
        """
        return self._alike.read(lines) or self._read_each(lines)

    def _read_each(self, lines: Sequence[bytes]) -> Run:
        # One frame and its local names for all lines: this is the hottest loop of validation.
        decode, readers, models = _row_decoder.decode, self._readers, self._models
        id_characters_max = self._limits.custom_id_bytes_max // 4
        # A shorter text has too few brackets to nest too deeply.
        shallow_bytes = self._limits.nesting_max * len("[]")
        custom_ids: list[str] = []
        run_bytes = bodies_bytes = inputs = 0
        for line in lines:
            models.clear()
            try:
                row = decode(line)
                raw = row.body
                reader = readers[row.url]
                body = reader.decode(raw)
                kind = reader.kinds[models[0] if models else NO_MODEL]
            except (DecodeError, RecursionError, KeyError, TypeError):
                break
            custom_id, line_bytes, body_bytes = row.custom_id, len(line), len(raw)
            id_bytes_least = line_bytes - body_bytes - reader.around_bytes_max
            if (
                body.stream
                or len(models) > 1
                or not 0 < len(custom_id) <= id_characters_max
                or not custom_id.isprintable()
                or (
                    len(custom_id) < id_bytes_least
                    and len(custom_id.encode()) < id_bytes_least
                    and not self._has_distinct_keys(line)
                )
                or (body_bytes > shallow_bytes and not is_shallow(line, self._limits))
            ):
                break
            kind.lines += 1
            custom_ids.append(custom_id)
            bodies_bytes += body_bytes
            if reader.counts_inputs:
                inputs += count_inputs(body.input)
            run_bytes += line_bytes
        else:
            line = b""
        return Run(custom_ids, run_bytes, bodies_bytes, inputs, line)

    def _reader(self, url: str, endpoint: Endpoint) -> "_Reader":
        decoder = msgspec.json.Decoder(BODIES[endpoint.url], dec_hook=self._see_model)
        return _Reader(
            len(_SHORTEST % url) + _SPARE_BYTES,
            endpoint.url == EMBEDDINGS,
            self._kinds[url],
            decoder.decode,
        )

    def _has_distinct_keys(self, line: bytes) -> bool:
        self._keys.clear()
        return len(self._envelope(line)) == len(self._keys)

    def _see_key(self, _type: type, value: str) -> "_Key":
        self._keys.append(value)
        return _Key(value)


class _Row(Struct, gc=False):
    custom_id: str
    method: Literal["POST"]
    url: str
    body: Raw


class _Key(str):
    """A key of a request, which `Glance` has seen."""

    __slots__ = ()


class _Reader(Struct, frozen=True):
    """Reads the bodies for one endpoint; `around_bytes_max` is for what surrounds them."""

    around_bytes_max: int
    counts_inputs: bool
    kinds: dict[object, Kind]
    decode: Callable[[Raw], Any]


_row_decoder = msgspec.json.Decoder(_Row)
