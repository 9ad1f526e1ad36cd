"""A one-shot run on disks that fail, at each of its writes, in each way: no line lost or twice."""

from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.processes import request_lines
from tests.flow.faulty_disk import HOWS, FaultyDisk, KilledError, random_faults
from tests.flow.one_shot import check, run

LINES = 40


def run_with(folder: Path, disk: FaultyDisk, asked: Counter[str]) -> bool:
    """A run on this disk; False where it did not come to its end."""
    try:
        with disk.mounted():
            run(folder, asked)
    except (KilledError, OSError):
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where outputs go; the input lies beside it."""
    (tmp_path / "in.jsonl").write_bytes(request_lines(LINES))
    return tmp_path / "outputs"


def emptied(folder: Path) -> Path:
    """The folder for another run."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    return folder


@pytest.mark.parametrize(("how", "times"), [*((how, 1) for how in HOWS), ("EIO", 4), ("half", 4)])
def test_a_disk_that_fails_at_any_call_costs_no_line(folder: Path, how: str, times: int) -> None:
    """At the nth call and some after it: the run goes on, or the next one does.

    Unless it was killed, no line is asked twice.
    """
    count = FaultyDisk(emptied(folder))
    assert run_with(folder, count, Counter())
    assert count.calls > 20
    for at in range(1, count.calls + 1):
        asked: Counter[str] = Counter()
        disk = FaultyDisk(emptied(folder), at, how, times)
        if not run_with(folder, disk, asked):
            run(folder, asked)
        check(folder, LINES)
        if how != "kill":
            assert set(asked.values()) == {1}, (at, how)


@pytest.mark.parametrize("seed", range(60))
def test_disks_that_fail_again_and_again_cost_no_line(folder: Path, seed: int) -> None:
    """Several runs, each of which may fail or be killed, and one that does not."""
    emptied(folder)
    asked: Counter[str] = Counter()
    for at, how, times in random_faults(seed):
        if run_with(folder, FaultyDisk(folder, at, how, times), asked):
            break
    else:
        run(folder, asked)
    check(folder, LINES)
