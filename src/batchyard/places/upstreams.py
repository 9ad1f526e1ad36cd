"""Upstreams are data: where they are, which key opens them, which models they serve."""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from msgspec import Struct

from batchyard.places.byte_budget import ByteBudget
from batchyard.places.discovery import State, ask_slots, discover
from batchyard.places.log import Log
from batchyard.places.masking import Mask
from batchyard.places.request_head import AUTHORIZATION
from batchyard.places.transport import Transport, head_for
from batchyard.places.upstream_settings import ANY_MODEL, UpstreamSettings, twice
from batchyard.wire.models import ModelList
from batchyard.wire.objects import Model

__all__ = ["Memory", "Served", "Upstream", "UpstreamSettings", "Upstreams", "open_upstreams"]

# A list of models is asked for again when it is older, and it matters.
_FRESH_SECONDS = 10.0
# An upstream that could not be asked is asked again after so long, doubling.
_AGAIN_SECONDS = (1.0, 15.0)
_NAMED_MAX = 10
# An upstream that listed models is believed to take any other only when it has had no list in so
# many looks in a row: about five minutes.
_LISTLESS_LOOKS_MAX = 20


class Served(Struct, frozen=True):
    """What an upstream served when it was last heard of; `any_model`: others than these, too."""

    upstream: str
    url: str
    models: tuple[str, ...]
    any_model: bool


class Memory(Protocol):
    """Remembers what upstreams serve, for the next start."""

    def recall(self) -> Sequence[Served]:
        """All that is remembered."""

    async def keep(self, served: Sequence[Served]) -> None:
        """Remember this in the place of what was known of these upstreams."""


class Upstream:
    """One upstream: a transport, and what it is known to serve.

    `state` is that of the last look and `detail` why it is not `ok`; `slots` is how many requests
    the server works on at once, where it says so. `effective_url` is the base URL that is asked:
    that of the settings, or the one that was meant.
    """

    def __init__(self, settings: UpstreamSettings, api_key: str | None) -> None:
        self.settings = settings
        self.name = settings.name or settings.url
        self.url = self.effective_url = settings.url
        self.key_setting = settings.key_setting
        self.transport = Transport(settings.url, ssl_context=_trusting(settings))
        self._extra = dict(settings.headers)
        if api_key:
            self._extra[AUTHORIZATION] = f"Bearer {api_key}"
        self.transport.mask = Mask(self._extra)
        # What cannot be written as a head is told now, and not by the first line.
        self.head("/models", "GET")
        self.state: State = "unknown"
        self.detail = ""
        self.is_batchyard = False
        self.slots: int | None = None
        # How often in a row it listed nothing, though it did before.
        self._listless_looks = 0
        self._listed: ModelList | None = None
        if settings.models:
            self._listed = ModelList(tuple(map(self._model, settings.models)))

    def head(self, path: str, method: str = "POST") -> bytes:
        """The request head for a path, up to the content length."""
        return head_for(self.effective_url, method, path, self._extra)

    @property
    def reachable(self) -> bool:
        """Whether it answered when it was last asked what it serves."""
        return self.state == "ok"

    @property
    def is_known(self) -> bool:
        """Whether it is known what it serves, from the settings or from any time it was asked."""
        return self._listed is not None

    @property
    def takes_any(self) -> bool:
        """Whether it takes models that it does not list."""
        return self._listed is not None and self._listed.any_model

    @property
    def models(self) -> tuple[Model, ...]:
        """What it lists, and the aliases of that."""
        if self._listed is None:
            return ()
        aliases = [one for one in self.settings.aliases if one != ANY_MODEL and self.serves(one)]
        named = {one.id: one for one in self._listed.models}
        return tuple((named | {one: self._model(one) for one in aliases}).values())

    def serves(self, model: str) -> bool:
        """Whether it lists this model or one that stands for it, or takes any."""
        if self._listed is None:
            return False
        sent = self.sent_as(model) or model
        return self._listed.any_model or any(one.id == sent for one in self._listed.models)

    def sent_as(self, model: str) -> str | None:
        """Which model is named in what is sent for this one; None where that is itself."""
        aliases = self.settings.aliases
        if not aliases:
            return None
        if (sent := aliases.get(model)) is not None:
            return sent if sent != model else None
        sent = aliases.get(ANY_MODEL)
        if sent is None or sent == model:
            return None
        is_listed = self._listed and any(one.id == model for one in self._listed.models)
        return None if is_listed or model in aliases.values() else sent

    def recall(self, served: Served) -> None:
        """Take what was known before, as long as nothing newer is."""
        if self._listed is None:
            models = tuple(map(self._model, served.models))
            self._listed = ModelList(models, any_model=served.any_model)

    @property
    def served(self) -> Served | None:
        """What is to be remembered of it."""
        if self._listed is None or self.settings.models:
            return None
        ids = tuple(one.id for one in self._listed.models)
        return Served(self.name, self.url, ids, self._listed.any_model)

    async def look(self) -> None:
        """Ask for its models; one that cannot tell keeps the list it gave last."""
        found = await discover(self.transport, self.effective_url, self._extra, self.name)
        is_back = found.state == "ok" and self.state != "ok"
        if found.listed is not None and self._lost_its_list(found.listed):
            detail = "it lists no models any more; those that it listed last are believed for now"
            self.state, self.detail = "unreachable", detail
            return
        if found.listed is not None:
            self.effective_url = found.url
            if not self.settings.models:
                self._listed = found.listed
        if is_back and (found.has_slots or found.url.startswith("http://")):
            self.slots = await ask_slots(self.transport, found.url, self._extra)
        self.state, self.detail = found.state, found.detail
        self.is_batchyard = found.is_batchyard

    def _lost_its_list(self, found: ModelList) -> bool:
        """Whether it lists nothing where it did: a proxy says so while the server starts anew."""
        if self.settings.models or found.models or not (self._listed and self._listed.models):
            self._listless_looks = 0
            return False
        self._listless_looks += 1
        return self._listless_looks < _LISTLESS_LOOKS_MAX

    def _model(self, name: str) -> Model:
        return Model(id=name, created=0, owned_by=self.name)


def open_upstreams(
    settings: Sequence[UpstreamSettings], environment: Mapping[str, str] = os.environ
) -> list[Upstream]:
    """Open them all; ValueError tells, a line for each, which of them cannot be used and why."""
    opened, mistakes = [], []
    for one in settings:
        place = f"upstream {one.name or one.url}"
        found = []
        for setting, text in one.faults():
            found.append(text)
            if setting == "url":
                # It may hold a password.
                place = f"upstream {one.name}".strip()
        if not found:
            try:
                opened.append(Upstream(one, one.api_key(environment)))
            except ValueError as error:
                found = [str(error)]
        mistakes += [f"{place}: {text}" for text in found]
    if not mistakes and (second := twice(settings)):
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
    """All upstreams of one process; what they send is bounded in all by their `budget`.

    `memory` remembers what they serve; `log` is told when the state of one changes.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        steady: Callable[[], float],
        *,
        memory: Memory | None = None,
        log: Log | None = None,
    ) -> None:
        self._all = tuple(upstreams)
        self._by_name = {one.name: one for one in self._all}
        self.budget = ByteBudget()
        for one in self._all:
            one.transport.budget = self.budget
        self._steady, self._memory, self._log = steady, memory, log
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._was_looked_at = asyncio.Event()
        self._kept: dict[str, Served] = {}
        for served in memory.recall() if memory is not None else ():
            upstream = self._by_name.get(served.upstream)
            if upstream is not None and upstream.url == served.url:
                upstream.recall(served)
                self._kept[served.upstream] = served

    def __iter__(self) -> Iterator[Upstream]:
        return iter(self._all)

    def __getitem__(self, name: str) -> Upstream:
        return self._by_name[name]

    def each(self) -> Sequence[Upstream]:
        """All of them, in the order of the settings."""
        return self._all

    async def look(self) -> None:
        """Ask all upstreams for their models, where the last answers are not fresh."""
        if self._steady() - self._looked_at < _FRESH_SECONDS and any(
            one.reachable for one in self._all
        ):
            return
        await asyncio.shield(self._begin_look())

    def look_soon(self) -> None:
        """Ask all upstreams anew, for something is not as it was; nobody waits for it."""
        self._looked_at = float("-inf")
        self._begin_look()

    def watch(self, changed: Callable[[], object]) -> None:
        """Look after those that could not be asked, until closed.

        `changed` hears when lines may take other ways than before.
        """
        self._watching = asyncio.create_task(self._watch(changed))

    def known(self, model: str) -> bool:
        """Whether a batch may name this model.

        As long as it is not known of each upstream what it serves, and while none can be reached,
        any model may be theirs: the batch waits for them.
        """
        return (
            any(one.serves(model) for one in self._all)
            or not all(one.is_known for one in self._all)
            or not any(one.reachable for one in self._all)
        )

    @property
    def takes_any(self) -> bool:
        """Whether models may be served that none of them lists."""
        return any(one.takes_any or not one.is_known for one in self._all)

    def routes(self, model: str) -> list[str]:
        """The upstreams that a model's lines go to; none while they must wait for one.

        Only where nothing at all is known of any upstream do lines go to all of them.
        """
        serving = [one.name for one in self._all if one.serves(model)]
        if serving or any(one.is_known for one in self._all):
            return serving
        return [one.name for one in self._all]

    def lack_of(self, model: str) -> tuple[str, str]:
        """Why a model has no way: the upstreams that are to blame, and a reason with its code."""
        unknown = [one for one in self._all if not one.is_known]
        if not unknown:
            names = ", ".join(one.name for one in self._all)
            return names, f"upstream_lacks_model: '{model}' is not among {self.served_words()}"
        code = "upstream_down"
        if all(one.state == "key_refused" for one in unknown):
            code = "upstream_refuses"
        why = unknown[0].detail or "not asked yet"
        names = ", ".join(one.name for one in unknown)
        return names, f"{code}: what it serves is not known: {why}"

    def served_words(self) -> str:
        """The names of some models that are served, for people."""
        names = [one.id for one in self.models()]
        more = len(names) - _NAMED_MAX
        return ", ".join(names[:_NAMED_MAX]) + (f" and {more:,} more" if more > 0 else "")

    def models(self) -> list[Model]:
        """What the upstreams list, each model once."""
        return list({one.id: one for upstream in self._all for one in upstream.models}.values())

    async def aclose(self) -> None:
        """Close all connections."""
        for task in (self._looking, self._watching):
            if task is not None:
                task.cancel()
        if self._watching is not None:
            with suppress(asyncio.CancelledError):
                await self._watching
        closing: list[Awaitable[None]] = [one.transport.aclose() for one in self._all]
        await asyncio.gather(*closing)

    def _begin_look(self) -> asyncio.Task[None]:
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(self._all))
            self._looking.add_done_callback(self._looked)
        return self._looking

    def _looked(self, look: asyncio.Task[None]) -> None:
        self._looking = None
        fault = None if look.cancelled() else look.exception()
        if fault is not None and self._log is not None:
            self._log.error("upstreams_not_asked", fault=str(fault))

    async def _watch(self, changed: Callable[[], object]) -> None:
        before: object = None
        delay, most = _AGAIN_SECONDS
        while True:
            late = [one for one in self._all if not one.reachable]
            if late:
                await self._look(late)
            self._was_looked_at.clear()
            now = [(one.effective_url, one.models, one.takes_any) for one in self._all]
            if now != before:
                changed()
                delay = _AGAIN_SECONDS[0]
            before = now
            waiting = any(not one.reachable for one in self._all)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay if waiting else None):
                    await self._was_looked_at.wait()
            delay = min(most, delay * 2)

    async def _look(self, upstreams: Sequence[Upstream]) -> None:
        states = {one.name: (one.state, one.effective_url) for one in upstreams}
        await asyncio.gather(*(one.look() for one in upstreams))
        if len(upstreams) == len(self._all):
            self._looked_at = self._steady()
        self._was_looked_at.set()
        for one in upstreams:
            self._tell(one, *states[one.name])
        await self._remember(upstreams)

    async def _remember(self, upstreams: Sequence[Upstream]) -> None:
        found = [one.served for one in upstreams]
        fresh = [one for one in found if one is not None and one != self._kept.get(one.upstream)]
        if self._memory is not None and fresh:
            await self._memory.keep(fresh)
        self._kept |= {one.upstream: one for one in fresh}

    def _tell(self, one: Upstream, before: State, url: str) -> None:
        if self._log is None:
            return
        if one.effective_url != url:
            self._log.warning(
                "upstream_url_mended", upstream=one.name, url=url, taken=one.effective_url
            )
        if one.state == before:
            return
        if one.state == "ok":
            count = "any" if one.takes_any else len(one.models)
            self._log.info("upstream_ok", upstream=one.name, models=count, slots=one.slots)
        elif one.state == "key_refused":
            key = one.key_setting or "none is set"
            self._log.warning("upstream_key_refused", upstream=one.name, why=one.detail, key=key)
        else:
            self._log.warning("upstream_unreachable", upstream=one.name, why=one.detail)
