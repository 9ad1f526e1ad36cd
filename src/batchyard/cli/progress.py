"""What a long command says while it works: one moving line on a terminal, else a line per tenth."""

import os
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
# Without a terminal a line comes after so long, however little is done.
_PLAIN_SECONDS = 300.0
# Where a terminal does not tell its width.
_COLUMNS = 200


class Progress:
    """Talks of lines done, failed, per second, in flight, of tokens, and of the time still needed.

    Nobody may read it any more: what cannot be written is left out.
    """

    def __init__(self, total: int, already: int, out: TextIO = sys.stderr) -> None:
        self._total, self._already, self._out = total, already, out
        self._terminal = out.isatty() and not is_plain()
        self._began = self._drawn = time.monotonic()
        self._tenth = 10 * already // total if total else 0
        self._line = ""

    def show(
        self, tally: "Tally", *, causes: str = "", lanes: str = "", reason: str | None = None
    ) -> None:
        """Tell how far it is.

        `causes` says why lines failed, `lanes` how many are under way, `reason` why it stands
        still.
        """
        now = time.monotonic()
        done = tally.results
        rate = (done - self._already) / max(now - self._began, 1e-9)
        parts = [
            f"{done:,}/{self._total:,} {100 * done / max(1, self._total):.0f} %",
            f"{tally.failed:,} failed" + (f" ({causes})" if causes else ""),
            f"{rate:,.0f}/s" if rate >= 10 else f"{rate:,.1f}/s",
            *([reason] if reason else []),
            *([lanes] if lanes else []),
            f"{tally.input_tokens:,} + {tally.output_tokens:,} tokens",
        ]
        # While nothing moves, what came before tells nothing of the end.
        if rate and done < self._total and not reason:
            parts.append(f"{lasting((self._total - done) / rate)} left")
        line = " · ".join(parts)
        if self._terminal:
            if now - self._drawn >= _REDRAW_SECONDS or done == self._total:
                self._drawn, self._line = now, line
                self._draw()
            return
        tenth = 10 * done // max(1, self._total)
        if tenth > self._tenth or now - self._drawn >= _PLAIN_SECONDS:
            self._drawn, self._tenth = now, tenth
            self._write(line + "\n")

    def note(self, text: str) -> None:
        """Say something on a line of its own."""
        self._write(("\r\x1b[2K" if self._terminal else "") + text + "\n")
        if self._line:
            self._draw()

    def end(self) -> None:
        """Leave the moving line."""
        if self._terminal and self._line:
            self._write("\n")
            self._line = ""

    def _draw(self) -> None:
        # What goes on in a second row could not be drawn over.
        most = _columns(self._out) - 1
        line = self._line if len(self._line) <= most else self._line[: most - 1] + "…"
        self._write("\r\x1b[2K" + line)

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):
            pass


def _columns(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


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
