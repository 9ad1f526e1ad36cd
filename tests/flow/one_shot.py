"""The flow of a one-shot run between an input and its outputs, without an upstream."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import Gate, Line
from batchyard.flow.once import Run
from batchyard.flow.outputs import Answered, Outputs
from batchyard.flow.routing import Lanes
from batchyard.flow.stop import Stop
from batchyard.places.database import Inline
from batchyard.places.input_file import InputFile
from batchyard.places.transport import Answer
from batchyard.rules.limits import LOCAL
from batchyard.rules.scan import Scan
from batchyard.wire.ids import line_id_prefix
from batchyard.wire.lines import read_answer
from tests.stories.loop import run_virtually

__all__ = ["OneByOne", "check", "run"]

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
    if int(line.custom_id[1:]) % 3 == 0:
        return Landing(line.index, line.custom_id, 1, REFUSAL)
    number = int(line.custom_id[1:])
    answer = Answer(200, [], b'{"usage":null,"n":%d}' % number)
    return Landing(line.index, line.custom_id, 1, answer, read_answer(answer.body))


def run(
    folder: Path, asked: Counter[str], on_answer: Callable[[], None] = lambda: None
) -> Answered:
    """What `batchyard run` does with `in.jsonl` beside this folder, on a clock of its own.

    Each answer is told to `on_answer`.
    """
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

            def land(line: Line) -> None:
                course.recorder.add(line.owner, landing_of(line))
                on_answer()

            lanes.land = land
            lanes.quiet = course.quiet
            assert await course.go(
                lanes, Stop(), progress=lambda _: None, window_seconds=1e6, grace_seconds=1.0
            )

        run_virtually(go())
        assert sum(one.count for one in course.failures.most_frequent()) == course.tally.failed
        outputs.publish()
        return course.answered
    finally:
        outputs.close()
        source.close()


def check(folder: Path, lines: int) -> None:
    """Each line of the input stands once, where it belongs, and nothing else is left."""
    found = {
        name: [json.loads(line) for line in (folder / name).read_bytes().splitlines()]
        for name in ("out.jsonl", "out.errors.jsonl")
    }
    answered = {line["custom_id"]: line["response"]["body"]["n"] for line in found["out.jsonl"]}
    assert {f"c{n}": n for n in range(lines) if n % 3} == answered
    refused = Counter(line["custom_id"] for line in found["out.errors.jsonl"])
    assert Counter(f"c{n}" for n in range(0, lines, 3)) == refused
    assert len(found["out.jsonl"]) == len(answered)
    assert sorted(path.name for path in folder.iterdir()) == sorted(found)
