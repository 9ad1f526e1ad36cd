"""Which upstreams a command means: named, from the environment, configured, or found nearby."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import click
import msgspec

from batchyard.places.request_head import BaseUrl
from batchyard.places.upstream_settings import SIMULATED_URL, UpstreamSettings
from batchyard.places.upstreams import Upstream
from batchyard.wire.ids import KEY_PREFIX

__all__ = [
    "NO_UPSTREAM",
    "SIMULATED",
    "described",
    "find_local",
    "from_environment",
    "named",
    "nearby",
    "refuse_ours",
    "with_simulated",
]

_LOCAL = {
    "vLLM": 8000,
    "Ollama": 11434,
    "llama.cpp": 8080,
    "LM Studio": 1234,
    "SGLang": 30000,
}

_NAMED_MAX = 10

# What stands for `sim` where an address is noted; its port is another each time.
SIMULATED = "http://sim.invalid/v1"

NO_UPSTREAM = (
    "No upstream: nothing answers on the usual local ports ("
    + ", ".join(f"{name} {port}" for name, port in _LOCAL.items())
    + ").\nStart a model server, or name one: --upstream http://HOST:PORT/v1, or set "
    "OPENAI_BASE_URL.\nTo try it without a model: --upstream sim"
)


def named(
    urls: Sequence[str], start_concurrency: int | None = None, max_concurrency: int | None = None
) -> tuple[UpstreamSettings, ...]:
    """Upstreams given on the command line; the key is OPENAI_API_KEY, where it is set to one."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    # One of a Batchyard server is there for its clients, and for no other address.
    is_for_upstreams = key and not key.startswith(KEY_PREFIX)
    plain = UpstreamSettings(url="", api_key_env="OPENAI_API_KEY" if is_for_upstreams else None)
    return tuple(
        msgspec.structs.replace(
            plain,
            url=url,
            start_concurrency=start_concurrency or plain.start_concurrency,
            max_concurrency=max_concurrency or plain.max_concurrency,
        )
        for url in urls
    )


def nearby(urls: Sequence[str]) -> tuple[UpstreamSettings, ...]:
    """Upstreams that were found on this machine; no key of ours is for them."""
    return tuple(UpstreamSettings(url=url) for url in urls)


@asynccontextmanager
async def with_simulated(urls: Sequence[str]) -> AsyncIterator[tuple[str, ...]]:
    """The URLs, with `sim` replaced by that of a simulated upstream that lives as long."""
    if SIMULATED_URL not in urls:
        yield tuple(urls)
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "batchyard", "sim", "--port", "0", "--until-stdin-ends"),
        # Held open by this process alone: however it dies, the simulated upstream ends too.
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        announced = (await process.stdout.readline()).decode().split()
        if not announced:
            raise click.ClickException("The simulated upstream does not start.")
        yield tuple(announced[-1] if url == SIMULATED_URL else url for url in urls)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def described(one: Upstream) -> str:
    """What came of asking an upstream what it serves, for people."""
    told = f"upstream {one.name}"
    if one.effective_url != one.url:
        told += f": {one.url} is no base URL, {one.effective_url} is taken"
    if one.state == "ok":
        names = [each.id for each in one.models]
        more = f" and {len(names) - _NAMED_MAX:,} more" if len(names) > _NAMED_MAX else ""
        listed = "any model" if one.takes_any else ", ".join(names[:_NAMED_MAX]) + more
        slots = "" if one.slots is None else f", {one.slots} at once"
        return f"{told}: serves {listed}{slots}"
    if one.state == "key_refused":
        key = f"comes from {one.key_setting}" if one.key_setting else "is not set: api_key_env"
        return f"{told}: refuses the key, which {key} ({one.detail})"
    return f"{told}: cannot be asked what it serves: {one.detail or 'no answer yet'}"


def refuse_ours(upstreams: Iterable[Upstream]) -> None:
    """End the command where an upstream is a Batchyard server, this one or another."""
    for one in upstreams:
        if one.is_batchyard:
            raise click.ClickException(
                f"The upstream {one.url} is a Batchyard server, which answers batches and no "
                "single requests. Name that of the models with --upstream, which wins over "
                "OPENAI_BASE_URL."
            )


def from_environment(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The upstream that OPENAI_BASE_URL names."""
    url = environment.get("OPENAI_BASE_URL", "").strip()
    if not url:
        return ()
    try:
        BaseUrl.parse(url)
    except ValueError as error:
        raise click.ClickException(f"OPENAI_BASE_URL: {error}") from error
    return (url,)


async def find_local() -> list[str]:
    """The base URLs of model servers that answer on the usual ports of this machine."""
    found = [
        Upstream(UpstreamSettings(url=f"http://127.0.0.1:{port}/v1"), None)
        for port in _LOCAL.values()
    ]
    await asyncio.gather(*(one.look() for one in found))
    await asyncio.gather(*(one.transport.aclose() for one in found))
    return [one.settings.url for one in found if one.models]
