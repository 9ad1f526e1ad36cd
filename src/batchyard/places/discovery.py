"""Asking an upstream what it serves, and at which base URL.

Only a server that has no list, or an empty one, takes any model. One that cannot tell now, because
it loads, is throttled, refuses the key or answers with a page, tells nothing of what it serves.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from batchyard.places.request_head import head_for
from batchyard.places.transport import Answer, Fault, Transport
from batchyard.wire.ids import ORGANIZATION
from batchyard.wire.models import ModelList, read_model_list
from batchyard.wire.objects import Model

__all__ = ["Discovery", "State", "ask_slots", "discover"]

State = Literal["ok", "unreachable", "key_refused", "unknown"]

_TIMEOUT_SECONDS = 5.0
_LIST_BYTES_MAX = 8 << 20
_EXCERPT_CHARACTERS = 120
# There is no list of models here, and perhaps nothing of the API at all.
_NO_LIST = (404, 405, 501)
# What people copy into a base URL from examples with curl.
_ENDPOINT = re.compile(
    r"/(?:models|embeddings|moderations|responses|(?:chat/)?completions|images/generations)$"
)
_VERSION = re.compile(r"/v[0-9]+(?:[a-z]+[0-9]*)?(?:/|$)")
_SIGN = re.compile(r"[^ -~\xa1-\uffff]+")


class Discovery(Struct, frozen=True):
    """What came of asking; `listed` is None where this tells nothing of what is served.

    `url` is the base URL that was asked last. With `is_misplaced`, nothing of the API is known to
    be there. `has_slots`: the server is one that tells how many requests it works on at once.
    """

    state: State
    detail: str
    url: str
    listed: ModelList | None = None
    is_misplaced: bool = False
    is_batchyard: bool = False
    has_slots: bool = False


async def discover(
    transport: Transport, base_url: str, headers: Mapping[str, str], owner: str
) -> Discovery:
    """Ask `GET /models` of a base URL; where nothing is there, of those that may be meant."""
    first = await _ask(transport, base_url, headers, owner)
    if first.is_misplaced:
        for url in _meant(base_url):
            other = await _ask(transport, url, headers, owner)
            if not other.is_misplaced:
                return other
    return first


async def ask_slots(transport: Transport, base_url: str, headers: Mapping[str, str]) -> int | None:
    """How many requests a llama.cpp server works on at once; None where it does not say.

    `/props` stands at the root of that server and not below `/v1`.
    """
    root = re.sub(r"/v1/?$", "", base_url)
    head = head_for(root, "GET", "/props", headers) + b"0\r\n\r\n"
    outcome = await transport.fetch(
        head, timeout_seconds=_TIMEOUT_SECONDS, body_bytes_max=_LIST_BYTES_MAX
    )
    if isinstance(outcome, Fault) or outcome.status != 200:
        return None
    try:
        slots = msgspec.json.decode(outcome.body, type=_Props).total_slots
    except (msgspec.DecodeError, RecursionError):
        return None
    return slots if slots is not None and slots > 0 else None


class _Props(Struct):
    total_slots: int | None = None


async def _ask(
    transport: Transport, base_url: str, headers: Mapping[str, str], owner: str
) -> Discovery:
    head = head_for(base_url, "GET", "/models", headers) + b"0\r\n\r\n"
    outcome = await transport.fetch(
        head, timeout_seconds=_TIMEOUT_SECONDS, body_bytes_max=_LIST_BYTES_MAX
    )
    if isinstance(outcome, Fault):
        return Discovery("unreachable", outcome.detail, base_url)
    if _is_ours(outcome):
        why = "this is a Batchyard server, which answers batches and no single requests"
        nothing_here = outcome.status in _NO_LIST
        return Discovery("unreachable", why, base_url, is_misplaced=nothing_here, is_batchyard=True)
    told = _told(outcome, headers)
    if outcome.status in _NO_LIST:
        return Discovery("ok", "", base_url, ModelList((), any_model=True), is_misplaced=True)
    if outcome.status in (401, 403):
        return Discovery("key_refused", told, base_url)
    if 300 <= outcome.status < 400:
        place = dict(outcome.headers).get(b"location", b"").decode("latin-1")
        return Discovery("unreachable", f"{told}, moved to {_shown(place)}", base_url)
    if outcome.status != 200:
        return Discovery("unreachable", told, base_url)
    listed = read_model_list(outcome.body, owner)
    if listed is None:
        why = f"no list of models: {told}"
        return Discovery("unreachable", why, base_url, is_misplaced=True)
    if not listed.models:
        listed = ModelList((), any_model=True)
    return Discovery("ok", "", base_url, listed, has_slots=_is_llama(outcome, listed.models))


def _meant(base_url: str) -> Iterator[str]:
    """The base URLs that may have been meant by one that is none."""
    url = base_url.rstrip("/")
    short = _ENDPOINT.sub("", url)
    if short != url:
        yield short
    if not _VERSION.search(short.partition("://")[2]):
        yield f"{short}/v1"


def _is_ours(answer: Answer) -> bool:
    return any(
        (name == b"server" and value == b"batchyard")
        or (name == b"openai-organization" and value == ORGANIZATION.encode())
        for name, value in answer.headers
    )


def _is_llama(answer: Answer, models: tuple[Model, ...]) -> bool:
    server = dict(answer.headers).get(b"server", b"")
    return server.startswith(b"llama.cpp") or any(one.owned_by == "llamacpp" for one in models)


def _told(answer: Answer, headers: Mapping[str, str]) -> str:
    """An answer in a few words; a key that a server repeats is none of them."""
    body = answer.body[: _EXCERPT_CHARACTERS * 8]
    for name, value in headers.items():
        secret = value.removeprefix("Bearer ").encode("latin-1", "replace")
        if name.lower() not in ("accept", "user-agent") and len(secret) > 3:
            body = body.replace(secret, b"***")
    kind = dict(answer.headers).get(b"content-type", b"").decode("latin-1")
    text = _shown(body.decode(errors="replace"))
    told = f"HTTP {answer.status}" + (f" ({_shown(kind)})" if kind else "")
    return f"{told}: {text}" if text else told


def _shown(text: str) -> str:
    text = _SIGN.sub(" ", text)
    return text if len(text) <= _EXCERPT_CHARACTERS else f"{text[:_EXCERPT_CHARACTERS]}..."
