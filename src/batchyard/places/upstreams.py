"""Upstreams are data: where they are, which key opens them, which models they serve."""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from batchyard.places.request_head import AUTHORIZATION
from batchyard.places.transport import Answer, Fault, Transport, head_for
from batchyard.places.upstream_settings import UpstreamSettings, twice
from batchyard.wire.objects import Model

__all__ = ["Upstream", "UpstreamSettings", "Upstreams", "open_upstreams"]

_LOOK_TIMEOUT_SECONDS = 5.0
_LIST_BYTES_MAX = 8 << 20
# A list of models is asked for again when it is older, and it matters.
_FRESH_SECONDS = 10.0


class Upstream:
    """One upstream: a transport, and what it is known to serve."""

    def __init__(self, settings: UpstreamSettings, api_key: str | None) -> None:
        self.settings = settings
        self.name = settings.name or settings.url
        self.transport = Transport(settings.url, ssl_context=_trusting(settings))
        self._extra = dict(settings.headers)
        if api_key:
            self._extra[AUTHORIZATION] = f"Bearer {api_key}"
        # What cannot be written as a head is told now, and not by the first line.
        self.head("/models", "GET")
        self.models: tuple[Model, ...] = tuple(
            Model(id=name, created=0, owned_by=self.name) for name in settings.models
        )
        self.reachable = False
        # An upstream that was asked and lists nothing takes any model.
        self.takes_any = False

    def head(self, path: str, method: str = "POST") -> bytes:
        """The request head for a path, up to the content length."""
        return head_for(self.settings.url, method, path, self._extra)

    def serves(self, model: str) -> bool:
        """Whether it lists this model, or takes any."""
        return self.takes_any or any(one.id == model for one in self.models)

    async def look(self) -> None:
        """Ask for its models; one that does not answer keeps the list it gave last."""
        if self.settings.models:
            self.reachable = True
            return
        head = self.head("/models", "GET") + b"0\r\n\r\n"
        outcome = await self.transport.fetch(
            head, b"", timeout_seconds=_LOOK_TIMEOUT_SECONDS, body_bytes_max=_LIST_BYTES_MAX
        )
        self.reachable = not isinstance(outcome, Fault)
        if isinstance(outcome, Answer):
            listed = _models(outcome, self.name)
            self.takes_any = not listed
            self.models = listed


def open_upstreams(
    settings: Sequence[UpstreamSettings], environment: Mapping[str, str] = os.environ
) -> list[Upstream]:
    """Open them all; ValueError tells, a line for each, which of them cannot be used and why."""
    opened, mistakes = [], []
    for one in settings:
        found = [text for _, text in one.faults()]
        if not found:
            try:
                opened.append(Upstream(one, one.api_key(environment)))
            except ValueError as error:
                found = [str(error)]
        mistakes += [f"upstream {one.name or one.url}: {text}" for text in found]
    if second := twice(settings):
        mistakes.append(second)
    if mistakes:
        raise ValueError("\n".join(mistakes))
    return opened


def _trusting(settings: UpstreamSettings) -> ssl.SSLContext | None:
    if settings.ca_file is None:
        return None
    trust = ssl.create_default_context()
    try:
        trust.load_verify_locations(cafile=settings.ca_file)
    except OSError as error:
        why = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificate"
        raise ValueError(f"ca_file {settings.ca_file} cannot be used: {why}.") from error
    return trust


class Upstreams:
    """All upstreams of one process."""

    def __init__(self, upstreams: Sequence[Upstream], steady: Callable[[], float]) -> None:
        self._all = tuple(upstreams)
        self._by_name = {one.name: one for one in self._all}
        self._steady = steady
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    def __getitem__(self, name: str) -> Upstream:
        return self._by_name[name]

    async def look(self) -> None:
        """Ask all upstreams for their models, where the last answers are not fresh."""
        if self._steady() - self._looked_at < _FRESH_SECONDS and any(
            one.reachable for one in self._all
        ):
            return
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    def known(self, model: str) -> bool:
        """Whether a batch may name this model.

        While no upstream can be reached, any model may be theirs: the batch waits for them.
        """
        reachable = [one for one in self._all if one.reachable]
        return not reachable or any(one.serves(model) for one in self._all)

    def routes(self, model: str) -> list[str]:
        """The upstreams that a model's lines go to; all of them where none is known to list it."""
        serving = [one.name for one in self._all if one.serves(model)]
        return serving or [one.name for one in self._all]

    def models(self) -> list[Model]:
        """What the upstreams list, each model once."""
        return list({one.id: one for upstream in self._all for one in upstream.models}.values())

    async def aclose(self) -> None:
        """Close all connections."""
        if self._looking is not None:
            self._looking.cancel()
        closing: list[Awaitable[None]] = [one.transport.aclose() for one in self._all]
        await asyncio.gather(*closing)

    async def _look(self) -> None:
        try:
            await asyncio.gather(*(one.look() for one in self._all))
            self._looked_at = self._steady()
        finally:
            self._looking = None


class _Listed(Struct):
    id: str
    created: int = 0
    owned_by: str = ""


class _List(Struct):
    data: list[_Listed] = []


def _models(answer: Answer, owner: str) -> tuple[Model, ...]:
    if answer.status != 200:
        return ()
    try:
        listed = msgspec.json.decode(answer.body, type=_List)
    except msgspec.DecodeError:
        return ()
    return tuple(
        Model(id=one.id, created=one.created, owned_by=one.owned_by or owner) for one in listed.data
    )
