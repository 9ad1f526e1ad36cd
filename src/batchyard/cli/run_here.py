"""`batchyard run` without a Batch API: model servers answer, and this process asks them."""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random

import click
import uvloop
from msgspec.structs import replace

from batchyard.cli.lazily import lazily
from batchyard.cli.output import talk
from batchyard.cli.progress import Progress, lasting
from batchyard.cli.run_watch import LogNotes, Watch, causes_of
from batchyard.cli.upstreams import (
    NO_UPSTREAM,
    SIMULATED,
    described,
    find_local,
    from_environment,
    named,
    nearby,
    refuse_ours,
    with_simulated,
)
from batchyard.flow.manning import open_lanes
from batchyard.flow.once import InputError, Run
from batchyard.flow.outputs import Answered, Outputs, OutputsError
from batchyard.flow.routing import Lanes
from batchyard.flow.stop import Stop
from batchyard.places.clock import system_clock
from batchyard.places.database import BlockingThread
from batchyard.places.input_file import InputFile
from batchyard.places.machine import open_files_max
from batchyard.places.upstreams import Upstreams, UpstreamSettings, open_upstreams
from batchyard.rules.limits import LOCAL
from batchyard.rules.served import OF_RUN
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
        talk(f"answers: {output}")
        if errors.exists():
            talk(f"failed lines: {errors}")
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
            served = [one.id for one in upstreams.models()]
            found = explain(
                lambda: _chunks(source),
                endpoint=None,
                limits=LOCAL,
                known_model=known,
                served=served,
                wording=OF_RUN,
            )
            if found:
                _list_errors(source, found)
                return _INVALID
        # From here on there is something to give back; before, Ctrl-C ends it at once.
        stop = Stop()
        _stop_on_signals(stop)
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
        return await _answer(reading, digest, outputs, upstreams, runner, stop, window=window)


async def _answer(
    source: InputFile,
    digest: Digest,
    outputs: Outputs,
    upstreams: Upstreams,
    runner: BlockingThread,
    stop: Stop,
    *,
    window: float,
) -> int:
    model = next(iter(digest.models)) if len(digest.models) == 1 else None
    course = Run(source, digest.shards, model, outputs, runner=runner)
    wall = system_clock().wall
    lanes = open_lanes(
        upstreams,
        land=course.recorder.add,
        hungry=course.hungry,
        quiet=course.quiet,
        wall=wall,
        chance=Random(),
    )
    already = course.tally.results
    if already:
        talk(f"going on: {already:,} of {course.total:,} lines have their answer already")
    _tell_mended(course.answered)
    began = time.monotonic()
    # What stands now lives to the end: the collector need not look at it again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with _watched(course, lanes, upstreams, wall) as watch:
        complete = await course.go(
            lanes, stop, progress=watch.show, window_seconds=window, grace_seconds=_GRACE_SECONDS
        )
    if not source.is_at_path():
        talk(
            f"warning: {source.path} was changed or moved meanwhile; what was answered is the "
            "content that it had at the start"
        )
    if not complete:
        _tell_stopped(course, outputs)
        return _INTERRUPTED
    try:
        outputs.publish()
    except OSError as error:
        raise click.ClickException(
            f"All {course.total:,} results are kept, but the files could not be given their final "
            f"names ({error}). Run the same command again; nothing is asked anew."
        ) from error
    _sum_up(course, time.monotonic() - began, already, upstreams)
    none = course.tally.failed and not course.tally.completed
    return _ENDED_BADLY if course.expired or none else 0


@contextmanager
def _watched(
    course: Run, lanes: Lanes, upstreams: Upstreams, wall: Callable[[], float]
) -> Iterator[Watch]:
    """Tell how the run goes while this lasts."""
    progress = Progress(course.total, course.tally.results)
    keyless = {one.name for one in upstreams if not one.settings.key_setting}
    watch = Watch(course, lanes, progress, keyless=keyless, wall=wall)
    logger, noting = logging.getLogger("batchyard"), LogNotes(progress)
    logger.addHandler(noting)
    looking = asyncio.create_task(watch.run())
    try:
        yield watch
    except (InputError, OutputsError):
        progress.end()
        talk(f"stopped: {course.tally.results:,} of {course.total:,} lines have their answer")
        raise
    finally:
        looking.cancel()
        progress.end()
        logger.removeHandler(noting)


def _tell_stopped(course: Run, outputs: Outputs) -> None:
    _tell_causes(course)
    output, errors = outputs.partial_paths
    talk(
        f"stopped: {course.tally.results:,} of {course.total:,} lines have their answer and "
        f"are kept.\nanswers so far: {output}"
        + (f"\nfailed lines so far: {errors}" if course.tally.failed else "")
        + "\nTo go on, run the same command again."
    )


def _tell_causes(course: Run) -> None:
    for text in causes_of(list(course.failures.most_frequent())):
        talk(f"  {text}")


def _sum_up(course: Run, seconds: float, already: int, upstreams: Upstreams) -> None:
    tally = course.tally
    rate = (course.total - already) / max(seconds, 1e-9)
    talk(
        f"{tally.completed:,} answered, {tally.failed:,} failed"
        + (f" ({course.expired:,} of them expired)" if course.expired else "")
        + f" in {lasting(seconds)} ({rate:,.0f}/s), "
        f"{tally.input_tokens:,} + {tally.output_tokens:,} tokens, {tally.calls:,} calls upstream"
    )
    if tally.failed and not tally.completed:
        talk("No line was answered: every one of them failed.")
    _tell_causes(course)
    if any(one.code == "request_timeout" for one in course.failures.most_frequent()):
        least = min(one.settings.timeout_seconds for one in upstreams)
        talk(f"Answers took longer than --timeout {least:g} s; give them more time: --timeout 1h")


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
        talk("upstream: " + ", ".join(one.url for one in settings))
    settings = tuple(_bounded(one, bounds) for one in settings)
    try:
        opened = open_upstreams(settings)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    upstreams = Upstreams(opened, time.monotonic)
    stack.push_async_callback(upstreams.aclose)
    await upstreams.look()
    refuse_ours(upstreams.each())
    for one in upstreams.each():
        if not one.reachable or one.effective_url != one.url:
            talk(described(one))
    return upstreams


def _tell_mended(answered: Answered) -> None:
    if answered.surplus:
        talk(f"{answered.surplus:,} results stood twice in the partial files; one of each is kept")
    if answered.damaged:
        talk(f"{answered.damaged:,} damaged results were taken out; these lines are asked again")


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


def _list_errors(source: Path, found: tuple[BatchError, ...]) -> None:
    shown = checking.findings_of(found[:_SHOWN_MAX])
    for line in findings.as_text(source, checking.quoted(shown, lambda: _chunks(source))):
        talk(line)
    if len(found) > _SHOWN_MAX:
        talk(f"… and {len(found) - _SHOWN_MAX:,} more; all of them: batchyard check {source}")
    count = f"{len(found):,} error" + ("s" if len(found) > 1 else "")
    talk(f"{count}; nothing was asked. Mend the input and run again.")


def _stop_on_signals(stop: Stop) -> None:
    """Give back what is under way when told to end; what is ignored, as by nohup, stays so."""

    def hear(number: int) -> None:
        if stop.reason is None:
            talk(
                "\nstopping: waiting until what is at the upstream is back and recorded (again to "
                "stop at once)"
            )
            stop.say(signal.Signals(number).name)
        elif number != signal.SIGHUP:
            # The second time means at once: what is recorded stays. A terminal that goes away
            # may say so twice.
            os._exit(_INTERRUPTED)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, hear, number)
