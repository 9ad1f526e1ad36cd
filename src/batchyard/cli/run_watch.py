"""What `run` tells while it works: how far it is, why lines fail, and why it stands still.

The reason is found as `batchyard why` finds that of a batch: by the same rule, of the same facts.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from msgspec import to_builtins

from batchyard.cli.batch_text import failure_lines
from batchyard.cli.options import clean
from batchyard.cli.progress import Progress, lasting
from batchyard.flow.lane_standings import LaneStandings
from batchyard.flow.once import Run
from batchyard.flow.routing import Lanes
from batchyard.flow.shards import Tally
from batchyard.rules.standing import Facts, LaneStanding, reason
from batchyard.wire.objects import FailureCount, Reason

__all__ = ["LogNotes", "Watch", "causes_of"]

# A reason that lasts for less is none.
_LOOK_SECONDS = 1.0
# One that comes and goes is told no oftener.
_AGAIN_SECONDS = 60.0
_CAUSES_NAMED_MAX = 2
# Causes that are told with their first line as soon as they come; the end tells of all.
_CAUSES_NOTED_MAX = 5


class Watch:
    """Looks at a run, tells its progress, and notes what changes.

    `keyless` are the upstreams that are sent no key.
    """

    def __init__(
        self,
        course: Run,
        lanes: Lanes,
        progress: Progress,
        *,
        keyless: Collection[str],
        wall: Callable[[], float],
    ) -> None:
        self._course, self._lanes, self._progress = course, lanes, progress
        self._keyless, self._wall = keyless, wall
        self._standings = LaneStandings(lanes)
        # Those of former runs of the same input are not told again, and do not count here.
        self._causes = {_key(failure) for failure in course.failures.most_frequent()}
        self._causes_noted = 0
        self._done, self._moved_at = course.tally.results, int(wall())
        self._reason: Reason | None = None
        # The codes of the last look, those of the trouble that was noted last, and when each was.
        self._seen: tuple[str, ...] = ()
        self._trouble: tuple[str, ...] = ()
        self._since = time.monotonic()
        self._noted: dict[tuple[str, ...], float] = {}

    def show(self, tally: Tally) -> None:
        """Tell how far it is; called whenever results were recorded."""
        if tally.failed:
            self._note_causes()
        each = [lane for _, lane in self._lanes.each()]
        in_flight = sum(lane.in_flight for lane in each)
        most = sum(lane.width.limit for lane in each)
        self._progress.show(
            tally,
            causes=_named(self._course.failures.most_frequent()),
            lanes=f"{in_flight:,} in flight of at most {most:,}" if each else "",
            reason=f"{self._reason.code}: {self._reason.message}" if self._reason else None,
        )

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Tell what has changed since the last look."""
        wall = int(self._wall())
        if self._course.tally.results != self._done:
            self._done, self._moved_at = self._course.tally.results, wall
        found = self._standings.look(wall)
        standings = [(upstream, standing) for (_, upstream), standing in found]
        self._reason = _reason(standings, self._moved_at, wall)
        troubled = [one for one in standings if one[1].trouble is not None]
        told = self._reason or (_reason(troubled, wall, wall) if troubled else None)
        codes = tuple(
            dict.fromkeys([*([told.code] if told else []), *(_code(one) for _, one in troubled)])
        )
        now = time.monotonic()
        if not self._seen:
            self._since = now
        # What is gone at the next look is not worth a line.
        if codes == self._seen and codes != self._trouble:
            if told is None:
                self._trouble = ()
                self._note(f"going on, after {lasting(now - self._since)}")
            elif now - self._noted.get(codes, float("-inf")) >= _AGAIN_SECONDS:
                self._trouble, self._noted[codes] = codes, now
                self._note_trouble(told, codes, [upstream for upstream, _ in troubled])
        self._seen = codes
        self.show(self._course.tally)

    def _note(self, text: str) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(self._wall()))
        self._progress.note(f"{clock} {text}")

    def _note_trouble(self, told: Reason, codes: tuple[str, ...], upstreams: list[str]) -> None:
        waiting = "waiting: " if self._reason else ""
        hint = self._hint(codes, upstreams)
        self._note(f"{waiting}{told.code}: {clean(told.message)}{hint}")

    def _hint(self, codes: tuple[str, ...], upstreams: list[str]) -> str:
        if "upstream_refuses" not in codes:
            return ""
        # Where a key was sent, the detail of the failure says which.
        if not all(upstream in self._keyless for upstream in upstreams):
            return ""
        return "; no key was sent: set OPENAI_API_KEY"

    def _note_causes(self) -> None:
        for failure in self._course.failures.most_frequent():
            if self._causes_noted >= _CAUSES_NOTED_MAX:
                return
            if _key(failure) in self._causes:
                continue
            self._causes.add(_key(failure))
            self._causes_noted += 1
            self._progress.note("failing: " + causes_of([failure])[0])


def causes_of(failures: list[FailureCount]) -> list[str]:
    """Each cause for which lines failed on a line, the most frequent first, with an example."""
    return list(failure_lines({"batchyard": {"failures": to_builtins(failures)}}))


class LogNotes(logging.Handler):
    """Notes what the log warns of beside the moving line; the same again once a minute at most.

    Changes of a lane are left out: the reason tells of them.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress
        self._noted: dict[tuple[str, object], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Note it as people read it."""
        event = record.getMessage().partition(" ")[0]
        if event.startswith("lane_") and record.levelno < logging.ERROR:
            return
        key, now = (event, getattr(record.msg, "facts", {}).get("upstream")), time.monotonic()
        if now - self._noted.get(key, float("-inf")) >= _AGAIN_SECONDS:
            self._noted[key] = now
            self._progress.note(self.format(record))


def _reason(lanes: list[tuple[str, LaneStanding]], moved_at: int, wall: int) -> Reason | None:
    return reason(Facts(status="in_progress", admitted_at=moved_at, lanes=tuple(lanes)), wall)


def _code(standing: LaneStanding) -> str:
    return (standing.trouble or "").partition(":")[0]


def _key(failure: FailureCount) -> tuple[str, int | None]:
    return failure.code, failure.status


def _named(failures: tuple[FailureCount, ...]) -> str:
    told = [f"{one.count:,} {clean(one.code)}" for one in failures[:_CAUSES_NAMED_MAX]]
    return ", ".join(told) + (", …" if len(failures) > _CAUSES_NAMED_MAX else "")
