"""A one-shot run on disks that fail, at each of its writes, in each way: no line lost or twice."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import Gate, Line
from batchyard.flow.once import Run
from batchyard.flow.outputs import Outputs
from batchyard.flow.routing import Lanes
from batchyard.flow.stop import Stop
from batchyard.places.database import Inline
from batchyard.places.input_file import InputFile
from batchyard.places.transport import Answer
from batchyard.rules.limits import LOCAL
from batchyard.rules.scan import Scan
from batchyard.wire.ids import line_id_prefix
from batchyard.wire.lines import read_answer
from tests.acceptance.processes import request_lines
from tests.flow.faulty_disk import HOWS, FaultyDisk, KilledError, random_faults
from tests.stories.loop import run_virtually

LINES = 40
ANSWERS = [Answer(200, [], b'{"usage":null,"n":%d}' % number) for number in range(LINES)]
REFUSAL = Answer(400, [], b'{"error":{"message":"no","code":"bad"}}')


class OneByOne(Lanes):
    """Lanes that bring a line back every 20 ms; every third is refused."""

    def __init__(self, asked: Counter[str]) -> None:
        self.gate = Gate()
        self._asked = asked
        self._lines: list[Line] = []
        self.land: Callable[[Line], None] = lambda _line: None
        self.quiet: Callable[[], None] = lambda: None

    def offer(self, model: str, lines: Sequence[Line]) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_later(0.02, self._answer)
        self._lines.extend(lines)

    def _answer(self) -> None:
        line = self._lines.pop(0)
        self._asked[line.custom_id] += 1
        self.land(line)
        if self._lines:
            asyncio.get_running_loop().call_later(0.02, self._answer)
        else:
            self.quiet()

    def pump(self) -> None:
        """Lines come back by themselves."""

    @property
    def held(self) -> int:
        return len(self._lines)

    @property
    def hungry(self) -> bool:
        return not self._lines

    @property
    def in_flight(self) -> int:
        return 0

    def withdraw(self, wanted: Callable[[Line], bool], *, abort: bool) -> list[Line]:
        taken, self._lines = self._lines, []
        return taken

    def close(self) -> None:
        """Nothing is open."""


def landing_of(line: Line) -> Landing:
    """How a line comes back."""
    if line.index % 3 == 0:
        return Landing(line.index, line.custom_id, 1, REFUSAL)
    answer = ANSWERS[line.index]
    return Landing(line.index, line.custom_id, 1, answer, read_answer(answer.body))


def run(folder: Path, asked: Counter[str]) -> None:
    """What `batchyard run` does, on a clock of its own."""
    source = InputFile(folder.parent / "in.jsonl")
    scan, whole = Scan(LOCAL), sha256()
    for chunk in source.chunks():
        scan.feed(chunk)
        whole.update(chunk)
    digest = scan.finish()
    outputs = Outputs(
        folder / "out.jsonl",
        folder / "out.errors.jsonl",
        input_sha256=whole.hexdigest(),
        input_bytes=digest.bytes,
        prefix=line_id_prefix(Random(1)),
    )
    try:
        course = Run(source, digest.shards, "m1", outputs, runner=Inline())

        async def go() -> None:
            lanes = OneByOne(asked)
            lanes.land = lambda line: course.recorder.add(line.owner, landing_of(line))
            lanes.quiet = course.quiet
            assert await course.go(
                lanes, Stop(), progress=lambda _: None, window_seconds=1e6, grace_seconds=1.0
            )

        run_virtually(go())
        assert course.tally.results == LINES
        assert sum(one.count for one in course.failures.most_frequent()) == course.tally.failed
        outputs.publish()
    finally:
        outputs.close()
        source.close()


def run_with(folder: Path, disk: FaultyDisk, asked: Counter[str]) -> bool:
    """A run on this disk; False where it did not come to its end."""
    try:
        with disk.mounted():
            run(folder, asked)
    except (KilledError, OSError):
        return False
    return True


def check(folder: Path) -> None:
    """Each line of the input stands once, where it belongs, and nothing else is left."""
    found = {
        name: [json.loads(line) for line in (folder / name).read_bytes().splitlines()]
        for name in ("out.jsonl", "out.errors.jsonl")
    }
    answered = {line["custom_id"]: line["response"]["body"]["n"] for line in found["out.jsonl"]}
    assert {f"c{n}": n for n in range(LINES) if n % 3} == answered
    refused = Counter(line["custom_id"] for line in found["out.errors.jsonl"])
    assert Counter(f"c{n}" for n in range(0, LINES, 3)) == refused
    assert len(found["out.jsonl"]) == len(answered)
    assert sorted(path.name for path in folder.iterdir()) == sorted(found)


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
        check(folder)
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
    check(folder)
