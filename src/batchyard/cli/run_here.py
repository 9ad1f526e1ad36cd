"""`batchyard run` without a Batch API: model servers answer, and this process asks them."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from random import Random

import click
import uvloop
from msgspec.structs import replace

from batchyard.cli.lazily import lazily
from batchyard.cli.progress import Progress, lasting
from batchyard.cli.upstreams import (
    NO_UPSTREAM,
    SIMULATED,
    find_local,
    from_environment,
    named,
    nearby,
    with_simulated,
)
from batchyard.flow.manning import open_lanes
from batchyard.flow.once import InputError, Run
from batchyard.flow.outputs import Answered, Outputs, OutputsError
from batchyard.flow.shards import Tally
from batchyard.flow.stop import Stop
from batchyard.places.clock import system_clock
from batchyard.places.database import BlockingThread
from batchyard.places.input_file import InputFile
from batchyard.places.machine import open_files_max
from batchyard.places.upstreams import Upstreams, UpstreamSettings, open_upstreams
from batchyard.rules.limits import LOCAL
from batchyard.rules.validate import Digest, Scan, explain, fits
from batchyard.wire.ids import line_id_prefix
from batchyard.wire.objects import BatchError

with lazily():
    # Most files are sound.
    from batchyard.cli import findings
    from batchyard.client.examining import checking

__all__ = ["address_of", "answer", "tell"]

# Of each upstream: lines in flight at the start, and at most, and seconds for an answer; None is
# the default.
Bounds = tuple[int | None, int | None, float | None]

_CHUNK_BYTES = 1 << 20
_INVALID, _ENDED_BADLY, _INCOMPLETE, _INTERRUPTED = 3, 5, 6, 130
# After Ctrl-C, lines that are at the upstream may still come back for so long.
_GRACE_SECONDS = 5.0
_SHOWN_MAX = 20
# A reason that lasts for less is none.
_REASON_SECONDS = 1.0


def answer(
    source: Path,
    output: Path,
    errors: Path,
    urls: tuple[str, ...],
    bounds: Bounds,
    window: float,
) -> int:
    """Answer every request of a file; returns the exit code of it all."""
    open_files_max()
    chosen = urls or from_environment(os.environ)
    try:
        _make_folders(output, errors)
        return uvloop.run(_run(source, output, errors, chosen, bounds, window))
    except (InputError, OutputsError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{place}{error.strerror or error}") from error


def tell(output: Path, errors: Path, code: int, *, strict: bool) -> int:
    """Say where the answers are; returns the exit code, which is another with `strict`."""
    if code in (0, _ENDED_BADLY):
        _say(f"answers: {output}")
        if errors.exists():
            _say(f"failed lines: {errors}")
            return code or (_INCOMPLETE if strict else 0)
    return code


def _make_folders(output: Path, errors: Path) -> None:
    """Make the folders of the outputs, and see that files can be made there."""
    for path in (output, errors):
        folder = path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise click.ClickException(
                f"{path} cannot be written: {error.filename} is no folder."
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise click.ClickException(
                f"{path} cannot be written: the folder {folder} allows no new files."
            )


def address_of(urls: tuple[str, ...]) -> str:
    """By which upstreams are noted: the first of them."""
    return next((url for url in urls if url != "sim"), SIMULATED)


async def _run(
    source: Path,
    output: Path,
    errors: Path,
    urls: tuple[str, ...],
    bounds: Bounds,
    window: float,
) -> int:
    async with AsyncExitStack() as stack:
        real_urls = await stack.enter_async_context(with_simulated(urls))
        upstreams = await _open_upstreams(named(real_urls), bounds, stack)
        reading = InputFile(source)
        stack.callback(reading.close)
        if not reading.is_seekable:
            raise click.ClickException(
                f"{source} is no file that can be read twice. Name a file, or write - and pipe it "
                "to stdin."
            )
        digest, input_sha256 = _scan(reading)
        known = upstreams.known
        if not fits(digest, endpoint=None, limits=LOCAL, known_model=known):
            found = explain(lambda: _chunks(source), endpoint=None, limits=LOCAL, known_model=known)
            if found:
                _list_errors(source, found, upstreams)
                return _INVALID
        outputs = Outputs(
            output,
            errors,
            input_sha256=input_sha256,
            input_bytes=digest.bytes,
            prefix=line_id_prefix(Random()),
        )
        stack.callback(outputs.close)
        # Closed before the files are: a call that is under way has them open.
        runner = BlockingThread()
        stack.callback(runner.close)
        return await _answer(reading, digest, outputs, upstreams, runner, window)


async def _answer(
    source: InputFile,
    digest: Digest,
    outputs: Outputs,
    upstreams: Upstreams,
    runner: BlockingThread,
    window: float,
) -> int:
    model = next(iter(digest.models)) if len(digest.models) == 1 else None
    course = Run(source, digest.shards, model, outputs, runner=runner)
    lanes = open_lanes(
        upstreams,
        land=course.recorder.add,
        hungry=course.hungry,
        quiet=course.quiet,
        wall=system_clock().wall,
        chance=Random(),
    )
    already = course.tally.results
    if already:
        _say(f"going on: {already:,} of {course.total:,} lines have their answer already")
    _tell_mended(course.answered)
    progress = Progress(course.total, already)

    def reason() -> str:
        return "; ".join(dict.fromkeys(lanes.reasons.values()))

    def show(tally: Tally) -> None:
        progress.show(tally, reason() or None)

    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _interrupt, stop, number)
    began = time.monotonic()
    # What stands now lives to the end: the collector need not look at it again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    waiting = asyncio.create_task(_tell_waiting(progress, reason))
    try:
        complete = await course.go(
            lanes, stop, progress=show, window_seconds=window, grace_seconds=_GRACE_SECONDS
        )
    except (InputError, OutputsError):
        _say(f"\nstopped: {course.tally.results:,} of {course.total:,} lines have their answer")
        raise
    finally:
        waiting.cancel()
        progress.end()
    took = time.monotonic() - began
    if not source.is_at_path():
        _say(
            f"warning: {source.path} was changed or moved meanwhile; what was answered is the "
            "content that it had at the start"
        )
    if not complete:
        _say(
            f"stopped: {course.tally.results:,} of {course.total:,} lines have their answer and "
            "are kept.\nTo go on, run the same command again."
        )
        return _INTERRUPTED
    try:
        outputs.publish()
    except OSError as error:
        raise click.ClickException(
            f"All {course.total:,} results are kept, but the files could not be given their final "
            f"names ({error}). Run the same command again; nothing is asked anew."
        ) from error
    _sum_up(course, took, already)
    none = course.tally.failed and not course.tally.completed
    return _ENDED_BADLY if course.expired or none else 0


async def _tell_waiting(progress: Progress, reason: Callable[[], str]) -> None:
    """Tell each new reason for which nothing moves; ends when it is cancelled."""
    told = ""
    while True:
        await asyncio.sleep(_REASON_SECONDS)
        text = reason()
        if text and text != told:
            progress.note(f"waiting: {text}")
        told = text


def _sum_up(course: Run, seconds: float, already: int) -> None:
    tally = course.tally
    rate = (course.total - already) / max(seconds, 1e-9)
    _say(
        f"{tally.completed:,} answered, {tally.failed:,} failed"
        + (f" ({course.expired:,} of them expired)" if course.expired else "")
        + f" in {lasting(seconds)} ({rate:,.0f}/s), "
        f"{tally.input_tokens:,} + {tally.output_tokens:,} tokens, {tally.calls:,} calls upstream"
    )


def _bounded(one: UpstreamSettings, bounds: Bounds) -> UpstreamSettings:
    start, most, timeout_seconds = bounds
    return replace(
        one,
        start_concurrency=start or one.start_concurrency,
        max_concurrency=most or one.max_concurrency,
        timeout_seconds=timeout_seconds or one.timeout_seconds,
    )


async def _open_upstreams(
    settings: tuple[UpstreamSettings, ...], bounds: Bounds, stack: AsyncExitStack
) -> Upstreams:
    if not settings:
        settings = nearby(await find_local())
        if not settings:
            raise click.ClickException(NO_UPSTREAM)
        _say("upstream: " + ", ".join(one.url for one in settings))
    settings = tuple(_bounded(one, bounds) for one in settings)
    try:
        opened = open_upstreams(settings)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    upstreams = Upstreams(opened, time.monotonic)
    stack.push_async_callback(upstreams.aclose)
    await upstreams.look()
    return upstreams


def _tell_mended(answered: Answered) -> None:
    if answered.surplus:
        _say(f"{answered.surplus:,} results stood twice in the partial files; one of each is kept")
    if answered.damaged:
        _say(f"{answered.damaged:,} damaged results were taken out; these lines are asked again")


def _scan(source: InputFile) -> tuple[Digest, str]:
    scan, whole = Scan(LOCAL), sha256()
    for chunk in source.chunks():
        scan.feed(chunk)
        whole.update(chunk)
    return scan.finish(), whole.hexdigest()


def _chunks(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _list_errors(source: Path, found: tuple[BatchError, ...], upstreams: Upstreams) -> None:
    shown = checking.findings_of(found[:_SHOWN_MAX])
    for line in findings.as_text(source, checking.quoted(shown, lambda: _chunks(source))):
        _say(line)
    if len(found) > _SHOWN_MAX:
        _say(f"… and {len(found) - _SHOWN_MAX:,} more; all of them: batchyard check {source}")
    if any(error.code == "model_not_found" for error in found):
        _say("The upstream serves: " + ", ".join(one.id for one in upstreams.models()))
    count = f"{len(found):,} error" + ("s" if len(found) > 1 else "")
    _say(f"{count}; nothing was asked. Mend the input and run again.")


def _interrupt(stop: Stop, number: int) -> None:
    if stop.reason is not None:
        # The second time means at once: what is recorded stays.
        os._exit(_INTERRUPTED)
    _say("\nstopping: waiting for the lines at the upstream (again to stop at once)")
    stop.say(signal.Signals(number).name)


def _say(text: str) -> None:
    click.echo(text, err=True)
