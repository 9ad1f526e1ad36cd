"""Upstreams are data: where they are, which key opens them, which models they serve."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.places.byte_budget import ByteBudget
from batchyard.places.masking import Mask
from batchyard.places.transport import Answer, Fault, Transport, head_for
from batchyard.wire.objects import Model

__all__ = ["Upstream", "UpstreamSettings", "Upstreams"]

_LOOK_TIMEOUT_SECONDS = 5.0
_LIST_BYTES_MAX = 8 << 20
# A list of models is asked for again when it is older, and it matters.
_FRESH_SECONDS = 10.0


class UpstreamSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[upstream]]` of the configuration.

    `models` names what it serves; left empty, the upstream is asked. `api_key_env` and
    `api_key_file` say where its key is found; a key never stands in the configuration itself.
    """

    url: str
    name: str = ""
    models: tuple[str, ...] = ()
    api_key_env: str | None = None
    api_key_file: str | None = None
    start_concurrency: int = 8
    max_concurrency: int = 4096
    timeout_seconds: float = 600.0
    headers: dict[str, str] = {}

    def api_key(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """The key; raises ValueError when it is not where the settings say."""
        if self.api_key_file is not None:
            try:
                return Path(self.api_key_file).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ValueError(f"api_key_file of upstream {self.url}: {error}") from error
        if self.api_key_env is not None:
            if self.api_key_env not in environment:
                raise ValueError(
                    f"api_key_env of upstream {self.url}: {self.api_key_env} is not set"
                )
            return environment[self.api_key_env]
        return None


class Upstream:
    """One upstream: a transport, and what it is known to serve."""

    def __init__(self, settings: UpstreamSettings, api_key: str | None) -> None:
        self.settings = settings
        self.name = settings.name or settings.url
        self.transport = Transport(settings.url)
        self._extra = dict(settings.headers)
        if api_key:
            self._extra["authorization"] = f"Bearer {api_key}"
        self.transport.mask = Mask(self._extra)
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
        head = head_for(self.settings.url, "GET", "/models", self._extra) + b"0\r\n\r\n"
        outcome = await self.transport.fetch(
            head, b"", timeout_seconds=_LOOK_TIMEOUT_SECONDS, body_bytes_max=_LIST_BYTES_MAX
        )
        self.reachable = not isinstance(outcome, Fault)
        if isinstance(outcome, Answer):
            listed = _models(outcome, self.name)
            self.takes_any = not listed
            self.models = listed


class Upstreams:
    """All upstreams of one process; what they send is bounded in all by their `budget`."""

    def __init__(self, upstreams: Sequence[Upstream], steady: Callable[[], float]) -> None:
        self._all = tuple(upstreams)
        self._by_name = {one.name: one for one in self._all}
        self.budget = ByteBudget()
        for one in self._all:
            one.transport.budget = self.budget
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
