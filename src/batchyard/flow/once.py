"""The one-shot run: one input file on disk, answered into two files on disk, no server.

While it runs, results stand in `*.partial` files beside the final names. A result line's id ends
with the index of its input line, so the partial files alone tell a later run what is missing.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from batchyard.flow.landing import written_off
from batchyard.flow.recording import Recorder, within
from batchyard.flow.routing import Lanes
from batchyard.flow.shards import HeldShard, Part, Tally
from batchyard.flow.source import lines_of, request_lines
from batchyard.flow.stop import Stop
from batchyard.places.database import Runner
from batchyard.places.whole import install
from batchyard.rules.settle import settle
from batchyard.rules.validate import ShardSpan
from batchyard.wire.lines import read_line, read_result

__all__ = ["OtherInputError", "OutputInUseError", "Outputs", "Run"]

_LINES_HELD_MAX = 20_000
# Input bytes of the spans that are open, at most; one span is taken in any case.
_HELD_BYTES_MAX = 32 << 20
_CHUNK_BYTES = 1 << 20


class OtherInputError(Exception):
    """The partial files beside the output belong to another input."""


class OutputInUseError(Exception):
    """Another run is writing these outputs."""


class _State(Struct, frozen=True):
    """What the partial files belong to."""

    input_sha256: str
    input_bytes: int
    line_id_prefix: str


class Outputs:
    """The two result files while they grow, and what they already hold.

    Raises OtherInputError where they were begun for another input, OutputInUseError where another
    run is at it, FileExistsError where a finished output is in the way.
    """

    def __init__(
        self, output: Path, errors: Path, *, input_sha256: str, input_bytes: int, prefix: str
    ) -> None:
        self.output, self.errors = output, errors
        self._final = {"output": output, "error": errors}
        self._partial = {kind: _beside(path, ".partial") for kind, path in self._final.items()}
        self._state = _beside(output, ".state")
        self.line_id_prefix = self._begin(_State(input_sha256, input_bytes, prefix)).line_id_prefix
        self._files = {kind: path.open("ab", buffering=0) for kind, path in self._partial.items()}

    def answered(self, lines: int) -> tuple[bytearray, Tally]:
        """Which lines have their result, as a bit mask, and what these results add up to."""
        mask, tally = bytearray((lines + 7) // 8), Tally()
        for kind, path in self._partial.items():
            for line in _whole_lines(path):
                result = read_result(line)
                index = int(result.id[-8:], 16)
                bit = 1 << (index & 7)
                if not mask[index >> 3] & bit:
                    mask[index >> 3] |= bit
                    tally.count(result.facts if kind == "output" else None)
        return mask, tally

    def append(self, output: bytes, errors: bytes) -> None:
        """Add results and make them durable; raises OSError, and then nothing was added."""
        for kind, text in (("output", output), ("error", errors)):
            if text:
                _append(self._files[kind].fileno(), text)

    def publish(self) -> None:
        """Give the files their final names; an error file only where there are errors."""
        for kind, path in self._partial.items():
            self._files[kind].close()
            if kind == "output" or path.stat().st_size:
                install(path, self._final[kind])
            else:
                path.unlink()
        self._state.unlink()
        self._lock.close()

    def close(self) -> None:
        """Leave the files as they are, for a later run to go on."""
        for file in (*self._files.values(), self._lock):
            file.close()

    def _begin(self, state: _State) -> _State:
        if not self._state.exists():
            for path in self._final.values():
                if path.exists():
                    raise FileExistsError(str(path))
        self._lock = _locked(self._state, self.output)
        begun = self._lock.read()
        if not begun:
            self._lock.write(msgspec.json.encode(state))
            os.fsync(self._lock.fileno())
            return state
        found = msgspec.json.decode(begun, type=_State)
        if (found.input_sha256, found.input_bytes) != (state.input_sha256, state.input_bytes):
            raise OtherInputError(str(self._partial["output"]))
        for kind, path in self._partial.items():
            if not path.exists() and self._final[kind].exists():
                # The run before was ended while it gave its files their names.
                self._final[kind].replace(path)
        return found


class Run:
    """One run over the spans of an input."""

    def __init__(
        self,
        source: Path,
        spans: Sequence[ShardSpan],
        model: str | None,
        outputs: Outputs,
        *,
        runner: Runner,
    ) -> None:
        self._source = source.open("rb", buffering=0)
        self._spans = iter(spans)
        self._model, self._outputs, self._runner = model, outputs, runner
        self._progress: Callable[[Tally], None] = lambda _tally: None
        lines = spans[-1].first_index + spans[-1].lines if spans else 0
        self._mask, self.tally = outputs.answered(lines)
        self.total = lines
        self._open: set[_Span] = set()
        self._wake = asyncio.Event()
        self._lanes: Lanes | None = None
        # What the lanes land.
        self.recorder = Recorder(self._keep)
        self.expired = 0

    def hungry(self) -> None:
        """A lane wants lines."""
        self._wake.set()

    def quiet(self) -> None:
        """A lane has no line in hand any more: what has come need not wait."""
        self.recorder.hurry()
        self._wake.set()

    async def go(
        self,
        lanes: Lanes,
        stop: Stop,
        *,
        progress: Callable[[Tally], None],
        window_seconds: float,
        grace_seconds: float,
    ) -> bool:
        """Answer what is missing; True when nothing is, False when it was stopped before.

        `progress` sees the tally after each piece. Lines that the window leaves unanswered become
        `batch_expired` errors. After a stop, lines at the upstream have `grace_seconds` to land.
        """
        self._progress = progress
        self._lanes = lanes
        loop = asyncio.get_running_loop()
        deadline = loop.time() + window_seconds
        recording = asyncio.create_task(self.recorder.run(lanes.gate, lanes.pump))
        feeding = asyncio.create_task(self._feed(lanes, deadline))
        expiring = asyncio.create_task(_sleep_until(deadline))
        ends = [asyncio.create_task(stop.wait()), expiring, feeding, recording]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in done:
                end.result()
            if stop.reason is not None:
                await self._let_land(lanes, grace_seconds)
                await self.recorder.drained()
                return False
            if expiring in done:
                feeding.cancel()
                await asyncio.wait([feeding])
                lanes.withdraw(lambda _line: True, abort=True)
                self._expire()
            await self.recorder.drained()
            counted = self.tally.completed + self.tally.failed
            assert counted == self.total, f"{counted} results for {self.total} lines"
            return True
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            lanes.close()
            self._source.close()

    async def _feed(self, lanes: Lanes, deadline: float) -> None:
        await self._until_wanted(lanes)
        for span in self._unanswered():
            self._open.add(span)
            text = await self._runner.run(self._read, span)
            for model, lines in lines_of(span, text, self._model, deadline).items():
                lanes.offer(model, lines)
            lanes.pump()
            await self._until_wanted(lanes)
        while self._open:
            self._wake.clear()
            await self._wake.wait()

    async def _until_wanted(self, lanes: Lanes) -> None:
        # A span is taken only when it can be opened at once: what is neither open nor in the
        # iterator would be forgotten when the window ends.
        while not self._wanted(lanes):
            self._wake.clear()
            await self._wake.wait()

    def _wanted(self, lanes: Lanes) -> bool:
        if not lanes.held:
            return True
        held_bytes = sum(span.size_bytes * span.remaining // span.lines for span in self._open)
        return lanes.hungry and lanes.held < _LINES_HELD_MAX and held_bytes < _HELD_BYTES_MAX

    def _unanswered(self) -> Iterator["_Span"]:
        for span in self._spans:
            mask = _bits(self._mask, span.first_index, span.lines)
            remaining = span.lines - mask.bit_count()
            if remaining:
                yield _Span(span, self._outputs.line_id_prefix, mask, remaining)

    def _read(self, span: "_Span") -> bytes:
        return os.pread(self._source.fileno(), span.size_bytes, span.offset)

    async def _keep(self, piece: dict[HeldShard, Part]) -> None:
        output = b"".join([part.output for part in piece.values()])
        errors = b"".join([part.errors for part in piece.values()])
        await self._runner.run(self._outputs.append, output, errors)
        for span, part in piece.items():
            self.tally.add(part.tally)
            if part.remaining == 0 and isinstance(span, _Span):
                self._open.discard(span)
        self._progress(self.tally)
        self._wake.set()

    async def _let_land(self, lanes: Lanes, grace: float) -> None:
        lanes.withdraw(lambda _line: True, abort=False)
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        while lanes.in_flight and loop.time() < until:
            self._wake.clear()
            await within(self._wake.wait(), until - loop.time())
            lanes.withdraw(lambda _line: True, abort=False)
        lanes.withdraw(lambda _line: True, abort=True)

    def _expire(self) -> None:
        """Write off what the window left; held spans first, then those never begun."""
        end = settle("finalizing", unanswered=1)
        for span in [*self._open, *self._unanswered()]:
            for position, raw in enumerate(request_lines(self._read(span))):
                if span.lacks(position):
                    custom_id = read_line(raw).custom_id
                    self.recorder.add(span, written_off(position, custom_id, end.code, end.message))
                    self.expired += 1


class _Span(HeldShard):
    """A run of lines of the input file."""

    __slots__ = ("offset", "size_bytes")

    def __init__(self, span: ShardSpan, prefix: str, answered: int, remaining: int) -> None:
        super().__init__(
            span.lines,
            answered,
            remaining,
            first_index=span.first_index,
            line_id_prefix=prefix,
        )
        self.offset, self.size_bytes = span.offset, span.bytes


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _locked(path: Path, output: Path) -> IO[bytes]:
    """A file that is this process's alone until it is closed."""
    file = path.open("a+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise OutputInUseError(str(output)) from error
    file.seek(0)
    return file


def _bits(mask: bytearray, first: int, count: int) -> int:
    """The bits of `mask` from `first` on, `count` of them, the first as the lowest."""
    low, high = first >> 3, (first + count + 7) >> 3
    return int.from_bytes(mask[low:high], "little") >> (first & 7) & ((1 << count) - 1)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The complete lines of a file; what a crash left of one more is cut off."""
    path.touch()
    end = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                end += len(line)
                yield line
    if end < path.stat().st_size:
        os.truncate(path, end)


def _append(descriptor: int, text: bytes) -> None:
    start = os.fstat(descriptor).st_size
    try:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fdatasync(descriptor)
    except OSError:
        os.ftruncate(descriptor, start)
        raise


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())
