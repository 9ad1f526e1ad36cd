"""What `run` says while it works, on a terminal and elsewhere."""

import io

import pytest

from batchyard.cli.progress import Progress
from batchyard.flow.shards import Tally


class Out(io.StringIO):
    """What somebody reads: a terminal, or not; it may be gone."""

    def __init__(self, *, terminal: bool = False, gone: bool = False) -> None:
        super().__init__()
        self._terminal, self._gone = terminal, gone

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        if self._gone:
            raise BrokenPipeError
        return super().write(text)


def test_elsewhere_a_line_tells_of_each_tenth() -> None:
    """How far, how many failed and why, how many are in flight; none is drawn over."""
    out = Out()
    progress = Progress(100, 0, out)
    for done in range(1, 101):
        tally = Tally(completed=done - done // 10, failed=done // 10)
        progress.show(tally, causes="1 http_500", lanes="5 in flight of at most 8")
    progress.end()
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("10/100 10 % · 1 failed (1 http_500) · ")
    assert " · 5 in flight of at most 8 · " in lines[0]
    assert "\x1b" not in out.getvalue()


def test_what_stands_still_has_no_end_in_sight() -> None:
    """The reason takes the place of an estimate that is none."""
    out = Out()
    progress = Progress(100, 0, out)
    progress.show(Tally(completed=50), reason="upstream_down: nobody answers")
    assert "upstream_down: nobody answers" in out.getvalue()
    assert " left" not in out.getvalue()


def test_on_a_terminal_one_line_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no longer than a row, or the next could not be drawn over it; notes stand above it."""
    monkeypatch.setenv("TERM", "xterm")
    out = Out(terminal=True)
    progress = Progress(1, 0, out)
    progress.note("before")
    progress.show(Tally(completed=1), reason="long " * 100)
    progress.note("a note")
    progress.end()
    drawn = out.getvalue().split("\r\x1b[2K")
    assert [len(line) <= 200 for line in drawn] == [True] * len(drawn)
    assert drawn[1] == "before\n"
    assert drawn[2].endswith("…")
    assert drawn[3] == "a note\n"
    assert drawn[4] == drawn[2] + "\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_nobody_need_read_it(terminal: bool) -> None:
    """A pipe that is closed ends nothing."""
    progress = Progress(2, 0, Out(terminal=terminal, gone=True))
    progress.note("a note")
    progress.show(Tally(completed=2))
    progress.end()
