"""Events on standard error, and in whatever a program has set up for its own logs."""

import json
import logging
import sys
from datetime import UTC, datetime
from subprocess import run

import pytest

from batchyard.places.log import Log


def test_a_server_writes_json_lines() -> None:
    """Each event is an object on a line: name, facts, level and moment, and a traceback."""
    code = (
        "from batchyard.places.log import log, to_stderr\n"
        "to_stderr()\n"
        "log.info('batch_ended', batch='batch_1', lines=3)\n"
        "try:\n"
        "    raise ValueError('oh\\nno')\n"
        "except ValueError:\n"
        "    log.exception('step_failed', path=__import__('pathlib').Path('x'))\n"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ended, failed = map(json.loads, done.stderr.splitlines())
    moment = datetime.fromisoformat(ended.pop("timestamp"))
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 600
    assert ended == {"event": "batch_ended", "batch": "batch_1", "lines": 3, "level": "info"}
    assert (failed["event"], failed["level"]) == ("step_failed", "error")
    assert failed["exception"].endswith("ValueError: oh\nno")
    assert done.stdout == ""


def test_a_library_writes_nothing_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Where nobody has asked for JSON lines, events are those of `logging`, under our name."""
    log = Log(logging.getLogger("batchyard.test"))
    log.info("not_asked_for")
    log.warning("price_unknown", model="m")
    assert caplog.record_tuples == [("batchyard.test", logging.WARNING, "price_unknown model='m'")]
