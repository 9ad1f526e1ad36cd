"""`batchyard serve`: OpenAI's Batch API in front of your models."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path

import click
import msgspec
import structlog
import uvloop

from batchyard.cli.upstreams import (
    NO_UPSTREAM,
    find_local,
    from_environment,
    named,
    nearby,
    with_simulated,
)
from batchyard.config import Settings, SettingsError, read_settings
from batchyard.flow.outbox import Pump
from batchyard.places.bell import heed
from batchyard.places.blobs import Blobs
from batchyard.places.clock import Clock, system_clock
from batchyard.places.database import BlockingThread, Runner
from batchyard.places.faults import Reach, reach_from
from batchyard.places.folder import DataFolder, FolderInUseError
from batchyard.places.machine import open_files_max
from batchyard.places.posting import Posting
from batchyard.places.store import Identity, Outbox, Records, Store, Webhooks, Work, open_store
from batchyard.places.upstreams import Upstream, Upstreams
from batchyard.rules.addresses import Fence
from batchyard.rules.limits import PROFILES
from batchyard.server.app import build_app
from batchyard.server.http import make_server
from batchyard.server.keys import hash_secret, key_of, new_secret
from batchyard.server.supervisor import Supervisor
from batchyard.server.upkeep import Upkeep
from batchyard.server.yard import Yard
from batchyard.wire.objects import Model
from batchyard.worker import Orders, logs_to_stderr

__all__ = ["serve"]

# Together well below the ten seconds in which SIGTERM must have ended everything.
_WORKER_GRACE_SECONDS = 6.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = structlog.get_logger()


@click.command()
@click.option("--host", metavar="HOST", help="Address to listen on; 127.0.0.1 unless given.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="8080 unless given.")
@click.option("--data", metavar="DIR", help="Where everything is kept; ./batchyard-data.")
@click.option(
    "--upstream",
    "urls",
    multiple=True,
    metavar="URL",
    help="Base URL of a model server, or `sim`; may be repeated.",
)
@click.option("--workers", type=click.IntRange(1, 64), metavar="N", help="Worker processes; 1.")
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="Instead of batchyard.toml."
)
def serve(
    host: str | None,
    port: int | None,
    data: str | None,
    urls: tuple[str, ...],
    workers: int | None,
    config: Path | None,
) -> None:
    """Serve OpenAI's Files and Batches API in front of any OpenAI-compatible model server.

    Point the official client at it: OpenAI(base_url="http://127.0.0.1:8080/v1", api_key=...).
    The first start creates a key and shows it once.
    """
    os.umask(0o077)
    given = {"host": host, "port": port, "data": data, "workers": workers}
    try:
        settings = read_settings(config, given)
        folder = DataFolder(Path(settings.data))
        folder.make()
        folder.lock()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    except FolderInUseError as error:
        raise click.ClickException(
            f"Another server uses {error}. Stop it, or choose another --data."
        ) from error
    logs_to_stderr()
    open_files_max()
    # Whoever validates an upload must not keep the loop waiting for the interpreter.
    sys.setswitchinterval(0.001)
    uvloop.run(_serve(settings, folder, urls))


async def _serve(settings: Settings, folder: DataFolder, urls: Sequence[str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with with_simulated(urls) as real_urls:
        await _run(await _with_upstreams(settings, real_urls), folder, stop)


async def _run(settings: Settings, folder: DataFolder, stop: asyncio.Event) -> None:
    store, clock = open_store(folder.database_url), system_clock()
    reach = reach_from(os.environ)
    records, work, identity = Records(store, reach), Work(store), Identity(store)
    blobs = Blobs(folder.blobs, reach)
    _put_right(work, int(clock.wall()))
    secret = _first_key(identity, int(clock.wall()))
    upstreams = Upstreams(_opened(settings), clock.steady)
    threads, disk = BlockingThread(), BlockingThread(8)

    def orders() -> Orders:
        return Orders(secrets.token_hex(8), folder.database_url, str(folder.blobs), settings)

    def changed() -> None:
        supervisor.ring()
        upkeep.ring()

    async def models() -> Sequence[Model]:
        await upstreams.look()
        return upstreams.models()

    fence = Fence(settings.webhook_hosts, settings.webhook_private)
    pump = _pump(fence, store, threads, clock, reach)
    supervisor = Supervisor(
        settings.workers, orders, lambda worker: work.bury(0.0, also=[worker]), pump.ring
    )
    upkeep = Upkeep(records, blobs, threads, clock)
    yard = Yard(
        records=records,
        identity=identity,
        webhooks=Webhooks(store),
        fence=fence,
        posting=_posting(fence, 8),
        blobs=blobs,
        limits=PROFILES[settings.profile],
        clock=clock,
        chance=secrets.SystemRandom(),
        store=threads,
        disk=disk,
        ring=changed,
        models=models,
        settings=settings,
    )
    upkeep.sweep_orphans()
    server = make_server(build_app(yard))
    listening = _listen(settings.host, settings.port)
    await supervisor.start()
    serving = asyncio.create_task(server.serve([listening]))
    _announce(listening, settings, secret)
    heeding = heed(folder.bell, changed, pump.ring)
    ended = await _until_one_ends(serving, upkeep.run(), pump.run(), heeding, stop.wait())
    server.should_exit = True
    ended += await asyncio.gather(
        serving, supervisor.stop(_WORKER_GRACE_SECONDS), return_exceptions=True
    )
    await upstreams.aclose()
    for one in (disk, threads, store):
        one.close()
    _raise_faults(ended)


def _pump(fence: Fence, store: Store, threads: Runner, clock: Clock, reach: Reach) -> Pump:
    chance = secrets.SystemRandom()
    return Pump(Outbox(store), _posting(fence, 32), threads, clock, chance, reach=reach)


def _posting(fence: Fence, at_once_max: int) -> Posting:
    """A way out for webhooks; tests have one of their own, and take no room from deliveries."""
    return Posting(
        lambda one: fence.lets(one.scheme, one.host, one.port, one.ip), at_once_max=at_once_max
    )


def _raise_faults(ended: Sequence[object]) -> None:
    for fault in ended:
        if isinstance(fault, Exception):
            raise fault


async def _until_one_ends(
    serving: asyncio.Task[None], *others: Coroutine[None, None, object]
) -> list[object]:
    """Run until the server or one of the others ends; all but the server are ended then."""
    running = [asyncio.create_task(one) for one in others]
    await asyncio.wait((serving, *running), return_when=asyncio.FIRST_COMPLETED)
    for one in running:
        one.cancel()
    return await asyncio.gather(*running, return_exceptions=True)


def _put_right(work: Work, now: int) -> None:
    """Free what a server that died had in hand, and hold the quotas against the batches."""
    work.bury_all()
    if wrong := work.audit_quota(now):
        log.error("quota_differed", rows=wrong)


def _first_key(identity: Identity, now: int) -> str | None:
    """Create a key where there is none; returns its secret if it must be shown."""
    if identity.all_keys():
        return None
    chance = secrets.SystemRandom()
    given = os.environ.get("BATCHYARD_API_KEY")
    secret = given or new_secret(chance)
    identity.add_key(key_of(secret, "first", chance, now), hash_secret(secret))
    return None if given else secret


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=4096)
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}, port {port}: {error.strerror}. Choose another --port or "
            "--host."
        ) from error


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
        return [Upstream(one, one.api_key()) for one in settings.upstream]
    except ValueError as error:
        raise click.ClickException(str(error)) from error


async def _with_upstreams(settings: Settings, urls: Sequence[str]) -> Settings:
    """The settings with the upstreams of the command line, the environment, or this machine."""
    if not urls and settings.upstream:
        return settings
    chosen = named(urls or from_environment(os.environ)) or nearby(await find_local())
    if not chosen:
        raise click.ClickException(NO_UPSTREAM)
    return msgspec.structs.replace(settings, upstream=chosen)
