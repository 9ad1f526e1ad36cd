"""The one-shot run: one input file on disk, answered into two files on disk, no server."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from batchyard.flow.landing import written_off
from batchyard.flow.outputs import Outputs
from batchyard.flow.recording import Recorder, within
from batchyard.flow.routing import Lanes
from batchyard.flow.shards import HeldShard, Part, Tally
from batchyard.flow.source import lines_of, request_lines
from batchyard.flow.stop import Stop
from batchyard.places.database import Runner
from batchyard.places.input_file import InputChangedError, InputFile
from batchyard.rules.settle import settle
from batchyard.rules.validate import ShardSpan
from batchyard.wire.lines import read_line

__all__ = ["InputError", "Run"]

_LINES_HELD_MAX = 20_000
# Input bytes of the spans that are open, at most; one span is taken in any case.
_HELD_BYTES_MAX = 32 << 20


class InputError(Exception):
    """The input cannot be read any more, or is another by now; the text says what to do."""


class Run:
    """One run over the spans of an input."""

    def __init__(
        self,
        source: InputFile,
        spans: Sequence[ShardSpan],
        model: str | None,
        outputs: Outputs,
        *,
        runner: Runner,
    ) -> None:
        self._source = source
        self._spans = iter(spans)
        self._model, self._outputs, self._runner = model, outputs, runner
        self._progress: Callable[[Tally], None] = lambda _tally: None
        lines = spans[-1].first_index + spans[-1].lines if spans else 0
        # What former runs have recorded.
        self.answered = outputs.answered(lines)
        self.tally, self.failures = self.answered.tally, self.answered.failures
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
        `batch_expired` errors. After a stop, lines at the upstream have `grace_seconds` to land; so
        they have before InputError is raised.
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
            if recording in done:
                recording.result()
            failed = feeding in done and feeding.exception() is not None
            if stop.reason is not None or failed:
                feeding.cancel()
                await self._let_land(lanes, grace_seconds)
                await self._drained(recording)
            for end in done:
                end.result()
            if stop.reason is not None:
                return False
            if expiring in done:
                feeding.cancel()
                await asyncio.wait([feeding])
                lanes.withdraw(lambda _line: True, abort=True)
                self._expire()
            await self._drained(recording)
            counted = self.tally.completed + self.tally.failed
            assert counted == self.total, f"{counted} results for {self.total} lines"
            return True
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            lanes.close()

    async def _drained(self, recording: asyncio.Task[None]) -> None:
        """Wait until all that has landed is recorded, or cannot be."""
        draining = asyncio.create_task(self.recorder.drained())
        await asyncio.wait([draining, recording], return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            draining.cancel()
            recording.result()
        await draining

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
            mask = _bits(self.answered.mask, span.first_index, span.lines)
            remaining = span.lines - mask.bit_count()
            if remaining:
                yield _Span(span, self._outputs.line_id_prefix, mask, remaining)

    def _read(self, span: "_Span") -> bytes:
        try:
            return self._source.read(span.offset, span.size_bytes)
        except (InputChangedError, OSError) as error:
            first, last = span.first_index + 1, span.first_index + span.lines
            what = (
                f"cannot be read any more ({error.strerror})"
                if isinstance(error, OSError)
                else "was changed while this run was reading it"
            )
            raise InputError(
                f"{self._source.path} {what}: requests {first:,} to {last:,} are not those that "
                "were checked at the start. What was answered so far is kept. Put the old content "
                "back and run the same command again, or choose another -o for the new one."
            ) from error

    async def _keep(self, piece: dict[HeldShard, Part]) -> None:
        output = b"".join([part.output for part in piece.values()])
        errors = b"".join([part.errors for part in piece.values()])
        await self._runner.run(self._outputs.append, output, errors)
        for span, part in piece.items():
            self.tally.add(part.tally)
            self.failures.add(part.failures)
            if part.remaining == 0 and isinstance(span, _Span):
                self._open.discard(span)
        # Nobody may read the progress any more. Were that an OSError of this call, the recorder
        # would have the same results kept again.
        with suppress(OSError):
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


def _bits(mask: bytearray, first: int, count: int) -> int:
    """The bits of `mask` from `first` on, `count` of them, the first as the lowest."""
    low, high = first >> 3, (first + count + 7) >> 3
    return int.from_bytes(mask[low:high], "little") >> (first & 7) & ((1 << count) - 1)


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())
