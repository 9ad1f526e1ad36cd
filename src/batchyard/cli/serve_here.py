"""A server, from its settings to its end."""

import asyncio
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import click
import msgspec
import uvloop

from batchyard.cli.machine import unusable
from batchyard.cli.upstreams import (
    NO_UPSTREAM,
    find_local,
    from_environment,
    named,
    nearby,
    refuse_ours,
    with_simulated,
)
from batchyard.config import Settings, SettingsError, read_settings
from batchyard.places.folder import DataFolder, FolderInUseError
from batchyard.places.log import log, to_stderr
from batchyard.places.machine import open_files_max
from batchyard.places.request_head import BaseUrl, usable_key
from batchyard.places.store import Identity, open_store
from batchyard.places.upstream_settings import SIMULATED_URL
from batchyard.places.upstreams import Upstream, open_upstreams
from batchyard.places.worker_locks import WorkerLocks, WorkerStaysError
from batchyard.server.house import House
from batchyard.server.installation import Installation, MismatchError, check_database
from batchyard.server.keys import hash_secret, key_of, new_secret

__all__ = ["chosen_upstreams", "own_address", "serve"]

# A worker whose server is gone gives back what it has within four seconds.
_LEFTOVER_GRACE_SECONDS = 8.0
# A server starts, whatever its upstreams do; what is wrong with them is in the log by then.
_LOOK_SECONDS = 3.0
_OTHER_KEY = (
    "It counts at the first start only, and this data folder has keys already: use one of them, "
    "or make one with `batchyard keys create NAME`."
)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    config: Path | None,
    given: Mapping[str, object],
    urls: Sequence[str],
    *,
    accept_database: bool = False,
) -> None:
    """Serve until a signal; `given` are settings from the command line, None where not given.

    `accept_database`: go on with a database that does not belong to the blobs beside it.
    """
    try:
        settings = read_settings(config, given)
        folder = DataFolder(Path(settings.data))
        folder.make()
        folder.lock()
        if not accept_database:
            check_database(folder)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    except FolderInUseError as error:
        raise click.ClickException(
            f"Another server uses {error}. Stop it, or choose another --data."
        ) from error
    except MismatchError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(unusable(settings.data, error)) from error
    to_stderr()
    _end_leftovers(folder)
    open_files_max()
    # Whoever validates an upload must not keep the loop waiting for the interpreter.
    sys.setswitchinterval(0.001)
    uvloop.run(_serve(settings, folder, urls, accept_database=accept_database))


def _end_leftovers(folder: DataFolder) -> None:
    """End the workers of a server that was killed here: the store and the blobs are ours now."""
    try:
        for holder in WorkerLocks(folder.workers).end_all(_LEFTOVER_GRACE_SECONDS):
            log.warning("leftover_worker_ended", worker=holder.worker, pid=holder.pid)
    except WorkerStaysError as error:
        raise click.ClickException(str(error)) from error


async def _serve(
    settings: Settings, folder: DataFolder, urls: Sequence[str], *, accept_database: bool
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Under `nohup` a closed terminal is to end nothing.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with chosen_upstreams(settings, urls) as chosen:
        await _run(chosen, folder, stop, accept_database=accept_database)


async def _run(
    settings: Settings, folder: DataFolder, stop: asyncio.Event, *, accept_database: bool
) -> None:
    upstreams = _opened(settings)
    with closing(open_store(folder.database_url)) as store:
        installation = Installation(folder, store)
        try:
            installation.settle(secrets.SystemRandom(), accept=accept_database)
        except MismatchError as error:
            raise click.ClickException(str(error)) from error
        house = House(settings, folder, store, upstreams, installation)
        await house.look(_LOOK_SECONDS)
        refuse_ours(upstreams)
        with _listen(settings.host, settings.port) as listening:
            _check_others(settings, listening.getsockname()[1])
            # Made only now: a key of a server that does not start would never be shown.
            secret = _first_key(Identity(store), int(time.time()))
            ready = partial(_announce, listening, settings, secret)
            await house.serve(listening, stop, ready=ready)


def _first_key(identity: Identity, now: int) -> str | None:
    """Create a key where there is none; returns its secret if it must be shown."""
    given = _given_key()
    if identity.all_keys():
        if given is not None and identity.bearer(hash_secret(given), now) is None:
            log.warning("given_key_opens_nothing", variable="BATCHYARD_API_KEY", do=_OTHER_KEY)
        return None
    chance = secrets.SystemRandom()
    secret = given or new_secret(chance)
    identity.add_key(key_of(secret, "first", chance, now), hash_secret(secret))
    return None if given else secret


def _given_key() -> str | None:
    try:
        return usable_key(os.environ.get("BATCHYARD_API_KEY", ""), "BATCHYARD_API_KEY") or None
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=4096)
    # A UnicodeError is what a name raises that no name server can be asked for.
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no name of a host"
        raise click.ClickException(
            f"Cannot listen on {host}, port {port}: {why}. Choose another --port or --host."
        ) from error


def own_address(settings: Settings, port: int, url: str) -> bool:
    """Whether a base URL leads to the address that a server of these settings listens on."""
    own = {settings.host}
    if own & {*_LOOPBACK, "0.0.0.0", "::"}:
        own.update(_LOOPBACK)
    place = BaseUrl.parse(url)
    return place.port == port and place.host in own


def _check_others(settings: Settings, port: int) -> None:
    """Take no server for its own upstream, as OPENAI_BASE_URL for its clients would have it."""
    for one in settings.upstream:
        if own_address(settings, port, one.url):
            raise click.ClickException(
                f"The upstream {one.url} is this server itself. Name that of the models with "
                "--upstream, which wins over OPENAI_BASE_URL."
            )


def _announce(listening: socket.socket, settings: Settings, secret: str | None) -> None:
    host, port = listening.getsockname()[:2]
    url = f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
    click.echo(f"Batchyard serves the Batch API on {url}")
    click.echo("upstreams: " + ", ".join(one.name or one.url for one in settings.upstream))
    if secret is not None:
        click.echo(f"API key (shown only now): {secret}")
    if settings.host not in _LOOPBACK:
        click.echo(
            "This address is reached from other machines, without TLS: put a proxy before it."
        )
    sys.stdout.flush()


def _opened(settings: Settings) -> list[Upstream]:
    try:
        return open_upstreams(settings.upstream)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@asynccontextmanager
async def chosen_upstreams(settings: Settings, urls: Sequence[str]) -> AsyncIterator[Settings]:
    """The settings with all upstreams that are meant, while the simulated ones of them run."""
    chosen = await _with_upstreams(settings, urls)
    async with with_simulated([one.url for one in chosen.upstream]) as real_urls:
        yield _at(real_urls, chosen)


async def _with_upstreams(settings: Settings, urls: Sequence[str]) -> Settings:
    """The settings with the upstreams of the command line, the environment, or this machine."""
    if not urls and settings.upstream:
        return settings
    chosen = named(urls or from_environment(os.environ)) or nearby(await find_local())
    if not chosen:
        raise click.ClickException(NO_UPSTREAM)
    return msgspec.structs.replace(settings, upstream=chosen)


def _at(real_urls: Sequence[str], settings: Settings) -> Settings:
    """The settings with the real URLs of their upstreams; a simulated one keeps its name."""
    upstream = tuple(
        one
        if one.url == url
        else msgspec.structs.replace(one, url=url, name=one.name or SIMULATED_URL)
        for one, url in zip(settings.upstream, real_urls, strict=True)
    )
    return msgspec.structs.replace(settings, upstream=upstream)
