"""What is read of a body at a glance, and the kinds of lines that this tells apart."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchyard.rules.endpoints import ENDPOINTS, Endpoint

__all__ = ["BODIES", "NO_MODEL", "Kind", "Kinds", "Model", "Run", "seer"]


class Kind(Struct):
    """Lines of one url and one model ("" where none is named), which fit the batch."""

    url: str
    model: str
    lines: int = 0


# By url, then by model.
Kinds = dict[str, dict[object, Kind]]
NO_MODEL = object()


class Run(Struct):
    """Sound lines that follow one another, and the odd one that ended them, if one did."""

    custom_ids: list[str]
    size_bytes: int
    bodies_bytes: int
    inputs: int
    odd: bytes


class Model:
    """Stands for a model, which a `seer` has seen."""


_MODEL = Model()
_OPTIONAL: dict[str, tuple[Any, Any]] = {
    "model": (Model | UnsetType, UNSET),
    "stream": (bool | None, None),
}


def _body_of(endpoint: Endpoint) -> type[Struct]:
    required = [(name, Model if name == "model" else Raw) for name in endpoint.required]
    optional = [(name, *one) for name, one in _OPTIONAL.items() if name not in endpoint.required]
    return msgspec.defstruct("Body", [*required, *optional], gc=False)


# By the url that an endpoint has with its version.
BODIES = {one.url: _body_of(one) for one in ENDPOINTS.values()}


def seer(models: list[object]) -> Callable[[type, object], Model]:
    """What a decoder of bodies calls for each model, while it keeps but the last one of a body.

    Any value may come.
    """
    see = models.append

    def hook(_type: type, value: object) -> Model:
        see(value)
        return _MODEL

    return hook
