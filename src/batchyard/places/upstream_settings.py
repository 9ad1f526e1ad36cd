"""Upstreams as they are set up: where they are, which key opens them, how much they bear."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from batchyard.places.request_head import AUTHORIZATION, BaseUrl, header_fault, usable_key

__all__ = ["ANY_MODEL", "SIMULATED_URL", "UpstreamSettings", "twice"]

# What stands in the place of a base URL for a simulated upstream, which is started with us.
SIMULATED_URL = "sim"
# In the place of a name in `aliases`: whatever the upstream does not list.
ANY_MODEL = "*"
# So many lines are in flight at first unless that is set, or fewer where the most is less.
_START_CONCURRENCY = 8


class UpstreamSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[upstream]]` of the configuration.

    `models` names what it serves; left empty, the upstream is asked. `api_key_env` and
    `api_key_file` say where its key is found; a key never stands in the configuration itself.
    `aliases`: in what is sent for a model of the first name, that of the second stands, which the
    upstream serves; the name "*" stands for all that it does not list.
    `ca_file`: certificates in PEM that are trusted beside those of the system.
    """

    url: str
    name: str = ""
    models: tuple[str, ...] = ()
    aliases: dict[str, str] = {}
    api_key_env: str | None = None
    api_key_file: str | None = None
    ca_file: str | None = None
    start_concurrency: Annotated[int, Meta(ge=1, le=100_000)] = _START_CONCURRENCY
    max_concurrency: Annotated[int, Meta(ge=1, le=100_000)] = 4096
    timeout_seconds: Annotated[float, Meta(gt=0, le=2_592_000)] = 600.0
    headers: dict[str, str] = {}

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with values of the right types: the setting, and a sentence."""
        if self.url != SIMULATED_URL:
            try:
                BaseUrl.parse(self.url)
            except ValueError as error:
                yield "url", str(error)
        if not self.name.isprintable() or (self.name and not self.name.strip()):
            yield "name", "name must be a text that can be printed."
        if not all(self.models):
            yield "models", "models has an empty name."
        for name, target in self.aliases.items():
            if not name or not target:
                yield "aliases", "aliases has an empty name."
            elif target == ANY_MODEL or (self.models and target not in self.models):
                yield (
                    "aliases",
                    f"aliases: '{name}' stands for '{target}', which is none of its models.",
                )
        if self.api_key_env is not None and self.api_key_file is not None:
            yield "api_key_file", "Of api_key_env and api_key_file only one may be set."
        if self.max_concurrency < self.start_concurrency != _START_CONCURRENCY:
            yield (
                "start_concurrency",
                f"start_concurrency = {self.start_concurrency} is above max_concurrency, which is "
                f"{self.max_concurrency}.",
            )
        yield from self._header_faults()

    def _header_faults(self) -> Iterator[tuple[str, str]]:
        seen = {AUTHORIZATION} if self.key_setting else set()
        for name, value in self.headers.items():
            if fault := header_fault(name, value):
                yield "headers", fault
            elif name.lower() in seen:
                how = (
                    "by " + self.key_setting.split()[0]
                    if self.key_setting and name.lower() == AUTHORIZATION
                    else "twice"
                )
                yield "headers", f"Header {name!r} is set {how} already; keep one."
            seen.add(name.lower())

    @property
    def key_setting(self) -> str:
        """Which setting says where the key is found, and where that is; empty without a key."""
        if self.api_key_file is not None:
            return f"api_key_file {self.api_key_file}"
        return f"api_key_env {self.api_key_env}" if self.api_key_env is not None else ""

    def api_key(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """The key; raises ValueError when it is not where the settings say, or is no key."""
        if self.api_key_file is not None:
            try:
                text = Path(self.api_key_file).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                raise ValueError(f"{self.key_setting} is no text in UTF-8.") from None
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                raise ValueError(f"{self.key_setting} cannot be read: {why}.") from error
        elif self.api_key_env is not None:
            if self.api_key_env not in environment:
                raise ValueError(f"{self.key_setting}: there is no such variable.")
            text = environment[self.api_key_env]
        else:
            return None
        key = usable_key(text, self.key_setting)
        if not key:
            raise ValueError(f"{self.key_setting} is empty.")
        return key


def twice(upstreams: Sequence[UpstreamSettings]) -> str | None:
    """Why two of the settings would be one upstream; None where they are not."""
    for at, one in enumerate(upstreams):
        for other in upstreams[:at]:
            if (one.name or one.url) == (other.name or other.url):
                return f"Two upstreams are called {one.name or one.url!r}; names tell them apart."
            if _is_same(one, other):
                return (
                    f"The upstream {one.url} stands there twice; one of max_concurrency = "
                    f"{min(100_000, one.max_concurrency + other.max_concurrency)} does the same."
                )
    return None


def _is_same(one: UpstreamSettings, other: UpstreamSettings) -> bool:
    """Whether two lead to one server, with the same key, for the same models."""
    places = {each.url.rstrip("/").lower() for each in (one, other)}
    doors = {(each.key_setting, tuple(sorted(each.headers.items()))) for each in (one, other)}
    for_other_models = one.models and other.models and set(one.models).isdisjoint(other.models)
    return len(places) == len(doors) == 1 and not for_other_models
