"""What `run` notes of its log and of the causes for which lines fail."""

import io
import logging
from types import SimpleNamespace
from typing import Any

from batchyard.cli.progress import Progress
from batchyard.cli.run_watch import LogNotes, Watch, causes_of
from batchyard.flow.failure_counts import FailureTally
from batchyard.flow.shards import Tally
from batchyard.places.log import Log
from batchyard.wire.objects import FailureCount


def test_a_warning_is_noted_once_a_minute() -> None:
    """Of each upstream; a change of a lane, which the reason tells, is left out."""
    out = io.StringIO()
    logger = logging.Logger("of this test")
    logger.addHandler(LogNotes(Progress(1, 0, out)))
    log = Log(logger)
    for upstream in ("http://one", "http://one", "http://two"):
        log.warning("upstream_unreachable", upstream=upstream, why="nobody listens")
        log.warning("lane_down", upstream=upstream, why="nobody listens")
        log.error("results_not_recorded", fault="no space", again_in_seconds=0.5)
        log.info("lane_opened", upstream=upstream)
    assert out.getvalue().splitlines() == [
        "upstream_unreachable upstream='http://one' why='nobody listens'",
        "results_not_recorded fault='no space' again_in_seconds=0.5",
        "upstream_unreachable upstream='http://two' why='nobody listens'",
    ]


def test_a_cause_is_told_with_its_first_line() -> None:
    """How many lines, which code and status, one line, and what was said of it on one line."""
    found = FailureCount(
        code="bad\x1b[31m", status=400, count=1_200, line=17, custom_id="c16", message="no\x07 way"
    )
    [told] = causes_of([found])
    assert told.startswith("1,200 lines failed with bad\\x1b[31m (HTTP 400), the first is line 17")
    assert told.endswith(r"no\x07 way")


async def test_a_resumed_run_notes_its_new_causes() -> None:
    """However many there were before: those are not told again, nor do they count."""
    out, failures = io.StringIO(), FailureTally()
    course: Any = SimpleNamespace(failures=failures, tally=Tally())
    lanes: Any = SimpleNamespace(each=list)
    failures.add([FailureCount(code=f"old_{n}", status=None, count=1, line=n) for n in range(1, 9)])
    watch = Watch(course, lanes, Progress(100, 8, out), keyless=(), wall=lambda: 0.0)
    for number in range(7):
        failures.add([FailureCount(code=f"new_{number}", status=None, count=1, line=20 + number)])
        watch.show(Tally(failed=9 + number))
    noted = [line for line in out.getvalue().splitlines() if line.startswith("failing: ")]
    assert ["new_" in line for line in noted] == [True] * 5
