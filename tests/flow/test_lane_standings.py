"""Why all lanes of a process are held."""

import errno
import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from batchyard.flow.lane_standings import LaneStandings
from batchyard.flow.line import Gate
from batchyard.flow.recording import unwritten
from batchyard.flow.shift import unrecorded


def locked() -> Exception:
    """What the database says when another program holds it."""
    fault = sqlite3.OperationalError("database is locked")
    fault.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return OperationalError("INSERT", {"secret": "sk"}, fault)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (None, "disk_slow: nothing is asked until what has come is written"),
        (
            unwritten(OSError(errno.ENOSPC, "No space left")),
            "disk_low: results cannot be written: No space left",
        ),
        (
            unrecorded(OSError(errno.EROFS, "Read-only")),
            "disk_read_only: results cannot be written: Read-only",
        ),
        (
            unrecorded(locked()),
            "store_unavailable: results cannot be written: The database is locked by another "
            "program, such as a backup. Wait until it is done, or end it.",
        ),
    ],
)
async def test_what_holds_all_lanes_is_told(told: str | None, why: str) -> None:
    """The fault in words, for a disk that is full is not all that may be."""
    gate = Gate()
    gate.held, gate.fault = True, told
    lanes: Any = SimpleNamespace(gate=gate, unserved=list, each=list)
    [(_, standing)] = LaneStandings(lanes).look(7)
    assert (standing.unrecorded_since, standing.unrecorded_why) == (7, why)


async def test_a_disk_that_is_nearly_full_is_told() -> None:
    """Nothing has failed then."""
    gate = Gate()
    gate.disk_is_low = True
    lanes: Any = SimpleNamespace(gate=gate, unserved=list, each=list)
    [(_, standing)] = LaneStandings(lanes).look(7)
    assert standing.unrecorded_why.startswith("disk_low: the disk is nearly full")
