"""The quick reading of a request line: it takes what is sound beyond doubt, and judges nothing.

Two typed decodes do the work, one of the line and one of its body.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType

from batchyard.rules.endpoints import EMBEDDINGS, ENDPOINTS, Endpoint
from batchyard.rules.limits import Limits
from batchyard.rules.lines import Sound, count_inputs, is_shallow

__all__ = ["Glance"]

_SHORTEST = '{"custom_id":"","method":"POST","url":"%s","body":}'
# In a line that is at most 8 bytes longer than the shortest spelling of its values no key stands
# twice: one of the four and a value would need 9, another one and its value, both twice, 10.
_SPARE_BYTES = 8


class Glance:
    """Reads one line at a time, so two threads do not share it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._models: list[str] = []
        self._keys: list[str] = []
        self._envelope = msgspec.json.Decoder(dict[_Key, Raw], dec_hook=self._see_key).decode
        self._readers = {url: self._reader(url, one) for url, one in ENDPOINTS.items()}

    def read(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, Sound | None]]:
        """Each line, which is UTF-8, and None where it calls for the exact examination."""
        # One frame and its local names for all lines: this is the hottest loop of validation.
        decode, readers, models = _row_decoder.decode, self._readers, self._models
        id_characters_max = self._limits.custom_id_bytes_max // 4
        # A shorter text has too few brackets to nest too deeply.
        shallow_bytes = self._limits.nesting_max * len("[]")
        for line in lines:
            models.clear()
            try:
                row = decode(line)
                raw = row.body
                reader = readers[row.url]
                body = reader.decode(raw)
            except (DecodeError, RecursionError, KeyError):
                yield line, None
                continue
            custom_id, body_bytes = row.custom_id, len(raw)
            if (
                body.stream
                or len(models) > 1
                or not 0 < len(custom_id) <= id_characters_max
                or not custom_id.isprintable()
                or (
                    len(line) - body_bytes - len(custom_id) > reader.around_bytes_max
                    and not self._has_distinct_keys(line)
                )
                or (body_bytes > shallow_bytes and not is_shallow(line, self._limits))
            ):
                yield line, None
                continue
            model = models[0] if models else ""
            inputs = count_inputs(body.input) if reader.counts_inputs else 0
            yield line, Sound(custom_id, row.url, model, body_bytes, inputs)

    def _reader(self, url: str, endpoint: Endpoint) -> "_Reader":
        decoder = msgspec.json.Decoder(_BODIES[endpoint.url], dec_hook=self._see_model)
        return _Reader(
            len(_SHORTEST % url) + _SPARE_BYTES,
            endpoint.url == EMBEDDINGS,
            decoder.decode,
        )

    def _see_model(self, _type: type, value: object) -> "_Model":
        # Called for each model, while the decoder keeps but the last one.
        if type(value) is not str or not 0 < len(value) <= self._limits.model_bytes_max // 4:
            raise ValueError
        self._models.append(value)
        return _MODEL

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


class _Model:
    """Stands for a model, which `Glance` has seen."""


class _Key(str):
    """A key of a request, which `Glance` has seen."""

    __slots__ = ()


class _Reader(Struct, frozen=True):
    """Reads the bodies for one endpoint; `around_bytes_max` is for what surrounds them."""

    around_bytes_max: int
    counts_inputs: bool
    decode: Callable[[Raw], Any]


_row_decoder = msgspec.json.Decoder(_Row)
_MODEL = _Model()
_OPTIONAL: dict[str, tuple[Any, Any]] = {
    "model": (_Model | UnsetType, UNSET),
    "input": (Raw | UnsetType, UNSET),
    "stream": (bool | None, None),
}


def _body_of(endpoint: Endpoint) -> type[Struct]:
    required = [(name, _Model if name == "model" else Raw) for name in endpoint.required]
    optional = [(name, *one) for name, one in _OPTIONAL.items() if name not in endpoint.required]
    return msgspec.defstruct("Body", [*required, *optional], gc=False)


_BODIES = {one.url: _body_of(one) for one in ENDPOINTS.values()}
