"""What may be wrong on this machine and at a target, each with what mends it."""

import email.utils
import importlib.metadata
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Literal

from msgspec import Struct

from batchyard import __version__
from batchyard.client.apis.profiles import (
    Destination,
    ProfileError,
    config_file,
    read_profiles,
    state_folder,
)
from batchyard.client.apis.provider import ProviderError
from batchyard.client.apis.remote import Remote, models_of, said_by
from batchyard.places.discovery import discover
from batchyard.places.request_head import AUTHORIZATION
from batchyard.places.transport import Transport

__all__ = ["Finding", "of_machine", "of_target"]

_PYTHON_MIN = (3, 11)
_OPENAI_MIN = (1, 109)
_DISK_WARN, _DISK_FAIL = 2 << 30, 256 << 20
_SKEW_WARN_SECONDS = 30.0
_SLOW_SECONDS = 2.0
_NAMED_MAX = 5
_URL_FIX = "Is the base URL right? It usually ends in /v1."
# Statuses that say nothing of the API at all; with 200 came what is no list of models.
_NOTHING_THERE = (200, 404, 405, 501)


class Finding(Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at; `fix` is what to do unless it is ok."""

    name: str
    level: Literal["ok", "warn", "fail"]
    found: str
    fix: str = ""


def of_machine(environment: Mapping[str, str], here: Path, server: Path) -> Iterator[Finding]:
    """Python, packages, disk and folders; `server` is where a server's data would be."""
    told = f"Python {'.'.join(map(str, sys.version_info[:3]))}, Batchyard {__version__}"
    if sys.version_info >= _PYTHON_MIN:
        yield Finding("python", "ok", told)
    else:
        yield Finding("python", "fail", told, "Use Python 3.11 or newer.")
    yield _openai()
    free = shutil.disk_usage(here).free
    level: Literal["ok", "warn", "fail"] = (
        "fail" if free < _DISK_FAIL else "warn" if free < _DISK_WARN else "ok"
    )
    yield Finding("disk", level, f"{free / 1e9:,.1f} GB free here", "Free room." * (level != "ok"))
    yield _writable("folder", here, "Work in a folder of your own.")
    if server.exists():
        yield _writable("server data", server, "Run it as the user who runs the server.")
    else:
        yield Finding("server data", "ok", f"no server here ({server})")
    yield _profiles(config_file(environment))
    yield _state(state_folder(environment))


async def of_target(destination: Destination, environment: Mapping[str, str]) -> list[Finding]:
    """Whether the target is there, takes the key, serves models and batches, and has the time."""
    told = f"{destination.base_url} ({destination.name})"
    found = [Finding("target", "ok", told), _key(destination)]
    remote = Remote(destination, timeout_seconds=20.0)
    try:
        found += await _models(remote, environment)
        if found[-1].level != "fail":
            found.append(await _batches(remote))
    finally:
        await remote.aclose()
    return found


async def _models(remote: Remote, environment: Mapping[str, str]) -> list[Finding]:
    began = time.monotonic()
    try:
        answer = await remote.exchange("GET", "/models")
    except ProviderError as error:
        meant = await _meant(remote.destination) if error.status in _NOTHING_THERE else None
        return [_unanswered(error, remote.destination, environment, meant)]
    seconds = time.monotonic() - began
    reached = Finding("reachable", "ok", f"answers after {seconds * 1e3:,.0f} ms")
    if seconds > _SLOW_SECONDS:
        reached = Finding("reachable", "warn", reached.found, "The way there is slow.")
    found = [reached, *_clock(said_by(answer, b"date"), time.time() - seconds / 2)]
    models = models_of(answer)
    named = ", ".join(models[:_NAMED_MAX]) + (", ..." if len(models) > _NAMED_MAX else "")
    if models:
        found.append(Finding("models", "ok", f"{len(models)}: {named}"))
    else:
        fix = "Who runs it: are its upstreams up?"
        found.append(Finding("models", "warn", "it serves none", fix))
    return found


async def _batches(remote: Remote) -> Finding:
    try:
        async for one in remote.newest_batches(1):
            return Finding("batches", "ok", f"the newest is {one.get('id')}, {one['status']}")
    except ProviderError as error:
        fix = _URL_FIX
        return Finding("batches", "fail", f"no Batch API there: {error}", fix)
    return Finding("batches", "ok", "there are none yet")


async def _meant(destination: Destination) -> str | None:
    """The base URL that answers where the given one does not, if there is one."""
    url = destination.base_url
    headers = {AUTHORIZATION: f"Bearer {destination.key}"} if destination.key else {}
    async with aclosing(Transport(url)) as transport:
        found = await discover(transport, url, headers, "")
    is_there = found.listed is not None or found.is_batchyard
    return found.url if is_there and found.url != url else None


def _unanswered(
    error: ProviderError,
    destination: Destination,
    environment: Mapping[str, str],
    meant: str | None,
) -> Finding:
    if error.status in (401, 403):
        fix = f"The key comes from {destination.key_from}; put a good one there."
        return Finding("key", "fail", f"refused: {error}", fix)
    if error.status:
        fix = f"Is {meant} meant? It answers." if meant else _URL_FIX
        return Finding("models", "fail", f"status {error.status}: {error}", fix)
    fix = "Is it up, and is the URL right?"
    if any(environment.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY")):
        fix += " A proxy is set in the environment, which Batchyard does not use."
    return Finding("reachable", "fail", str(error), fix)


def _clock(date: bytes, now: float) -> Iterator[Finding]:
    """How far this machine's clock is off, by the header Date, which has whole seconds."""
    try:
        there = email.utils.parsedate_to_datetime(date.decode("latin-1")).timestamp()
    except (TypeError, ValueError):
        yield Finding("clock", "ok", "the target does not tell the time")
        return
    skew = now - there
    told = f"{abs(skew):,.0f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) > _SKEW_WARN_SECONDS:
        yield Finding("clock", "warn", told, "Set this machine's clock, or the server's.")
    else:
        yield Finding("clock", "ok", "the same as there, within seconds")


def _openai() -> Finding:
    try:
        version = importlib.metadata.version("openai")
    except importlib.metadata.PackageNotFoundError:
        return Finding("openai", "ok", "not installed; only batchyard.compat needs it")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < _OPENAI_MIN:
        fix = "pip install 'openai>=1.109'"
        return Finding("openai", "warn", f"{version}, which is too old for batchyard.compat", fix)
    return Finding("openai", "ok", version)


def _key(destination: Destination) -> Finding:
    told = f"from {destination.key_from}"
    if destination.key:
        return Finding("key", "ok", told)
    fix = "Set it there, or say where it is: batchyard config set NAME --key-env VARIABLE."
    return Finding("key", "warn", f"{told}, and there is none", fix)


def _writable(name: str, folder: Path, fix: str) -> Finding:
    if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding(name, "ok", str(folder))
    return Finding(name, "fail", f"{folder} cannot be written", fix)


def _profiles(path: Path) -> Finding:
    try:
        profiles = read_profiles(path)
    except ProfileError as error:
        return Finding("profiles", "fail", str(error), "Mend or remove the file.")
    kept = any(one.key for one in profiles.profile.values())
    if kept and path.stat().st_mode & 0o077:
        return Finding("profiles", "warn", f"others can read {path}", f"chmod 600 {path}")
    return Finding("profiles", "ok", f"{len(profiles.profile)} of your own in {path}")


def _state(folder: Path) -> Finding:
    there = folder
    while not there.exists():
        there = there.parent
    if os.access(there, os.W_OK | os.X_OK):
        return Finding("state", "ok", str(folder))
    return Finding("state", "warn", f"{folder} cannot be written", "Without it there is no @last.")
