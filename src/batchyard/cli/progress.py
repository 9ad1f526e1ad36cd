"""What a long command says while it works: one moving line on a terminal, else a line per tenth."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from batchyard.cli.options import is_plain

if TYPE_CHECKING:
    # Much to load for those who only move files.
    from batchyard.flow.shards import Tally

__all__ = ["Progress", "lasting", "moving"]

_REDRAW_SECONDS = 0.2


class Progress:
    """Talks of lines done, failed, per second, of tokens, and of the time still needed."""

    def __init__(self, total: int, already: int, out: TextIO = sys.stderr) -> None:
        self._total, self._already, self._out = total, already, out
        self._terminal = out.isatty() and not is_plain()
        self._began = self._drawn = time.monotonic()
        self._tenth = 10 * already // total if total else 0

    def show(self, tally: "Tally", reason: str | None = None) -> None:
        """Tell how far it is; `reason` says why it stands still."""
        done = tally.completed + tally.failed
        now = time.monotonic()
        if self._terminal:
            if now - self._drawn >= _REDRAW_SECONDS or done == self._total:
                self._drawn = now
                self._out.write("\r\x1b[2K" + self._line(tally, now, reason))
                self._out.flush()
        elif 10 * done // max(1, self._total) > self._tenth:
            self._tenth = 10 * done // self._total
            self._out.write(self._line(tally, now, reason) + "\n")
            self._out.flush()

    def note(self, text: str) -> None:
        """Say something on a line of its own."""
        self._out.write(("\r\x1b[2K" if self._terminal else "") + text + "\n")
        self._out.flush()

    def end(self) -> None:
        """Leave the moving line."""
        if self._terminal:
            self._out.write("\n")

    def _line(self, tally: "Tally", now: float, reason: str | None) -> str:
        done = tally.completed + tally.failed
        rate = (done - self._already) / max(now - self._began, 1e-9)
        percent = 100 * done / max(1, self._total)
        told = [
            f"{done:,}/{self._total:,} {percent:.0f} %",
            f"{tally.failed:,} failed",
            f"{rate:,.0f}/s",
            f"{tally.input_tokens:,} + {tally.output_tokens:,} tokens",
        ]
        if rate and done < self._total:
            told.append(f"{lasting((self._total - done) / rate)} left")
        if reason:
            told.append(reason)
        return " · ".join(told)


@contextmanager
def moving(name: str, out: TextIO = sys.stderr) -> Iterator[Callable[[int, int | None], None]]:
    """Tell a terminal how much of a file has moved; other readers hear of its end from others."""
    drawn = 0.0

    def tell(done: int, total: int | None) -> None:
        nonlocal drawn
        now = time.monotonic()
        if now - drawn >= _REDRAW_SECONDS:
            drawn = now
            of = f" of {total / 1e6:,.1f}" if total is not None else ""
            out.write(f"\r\x1b[2K{name}: {done / 1e6:,.1f}{of} MB")
            out.flush()

    if not out.isatty() or is_plain():
        yield lambda _done, _total: None
        return
    try:
        yield tell
    finally:
        out.write("\r\x1b[2K")
        out.flush()


def lasting(seconds: float) -> str:
    """A span of time as people say it, such as "4.2 s", "3 m 20 s" or "5 h 10 m"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest} s"
    return f"{minutes // 60} h {minutes % 60} m"
