"""Whether an answer holds what its request's text had: placeholders, tags and addresses."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from batchyard.client.examining.reading import placed_lines
from batchyard.client.results.answering import ReadingError
from batchyard.client.results.placeholders import lost, placeholders_in
from batchyard.client.tabular.drafting import Unit

__all__ = ["Faithful", "hold_to"]


class Faithful:
    """The placeholders of a campaign's requests by custom_id; read when one is asked for first."""

    def __init__(self, requests: Path) -> None:
        self._requests = requests
        self._known: sqlite3.Connection | None = None

    def hold(self, custom_id: str, answer: str) -> None:
        """ReadingError where an answer lacks any."""
        if self._known is None:
            self._known = self._read()
        found = self._known.execute("select marks from kept where id = ?", (custom_id,)).fetchone()
        if found is not None:
            _hold(msgspec.json.decode(found[0], type=list[str]), answer)

    def close(self) -> None:
        """Let go of what was read."""
        if self._known is not None:
            self._known.close()
            self._known = None

    def _read(self) -> sqlite3.Connection:
        # A database without a name is in memory, and in a file that nobody sees where it is large.
        made = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        made.execute("create table kept (id text primary key, marks blob) without rowid")
        made.execute("begin")
        for _, line in placed_lines(self._requests):
            asked = msgspec.json.decode(line, type=Unit)
            marks = placeholders_in(_text_of(asked))
            if marks:
                told = asked.custom_id, msgspec.json.encode(marks)
                made.execute("insert or ignore into kept values (?, ?)", told)
        made.execute("commit")
        return made


def hold_to(asked: Unit, answer: str) -> None:
    """ReadingError where an answer lacks a placeholder of its request."""
    _hold(placeholders_in(_text_of(asked)), answer)


def _hold(marks: Any, answer: str) -> None:
    missing = lost(marks, answer)
    if missing:
        told = ", ".join(dict.fromkeys(missing))
        raise ReadingError(f"It lacks {told} of the text; keep that exactly as it is there.")


def _text_of(asked: Unit) -> str:
    """What was asked about: the last thing the user said."""
    messages = msgspec.json.decode(asked.body).get("messages") or [{}]
    text = messages[-1].get("content")
    return text if isinstance(text, str) else ""
