"""What happened, as events: each has a name, and facts by their names."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

__all__ = ["Log", "log", "to_stderr"]


class _Event(Struct, frozen=True):
    """One event; as text it is what people read."""

    name: str
    facts: Mapping[str, Any]

    def __str__(self) -> str:
        return " ".join((self.name, *(f"{name}={fact!r}" for name, fact in self.facts.items())))


class Log:
    """Tells events to a logger of the standard library, which the user of a library may set up."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def info(self, event: str, **facts: Any) -> None:
        """What an operator may want to know."""
        if self._logger.isEnabledFor(logging.INFO):
            self._logger.info(_Event(event, facts))

    def warning(self, event: str, **facts: Any) -> None:
        """What an operator ought to know."""
        self._logger.warning(_Event(event, facts))

    def error(self, event: str, **facts: Any) -> None:
        """What an operator ought to do something about."""
        self._logger.error(_Event(event, facts))

    def exception(self, event: str, **facts: Any) -> None:
        """An error that nobody expected, with its traceback."""
        self._logger.exception(_Event(event, facts))


class _Lines(logging.Formatter):
    """An event on a line: in JSON, or for people."""

    def __init__(self, *, readable: bool) -> None:
        super().__init__()
        self._readable = readable

    def format(self, record: logging.LogRecord) -> str:
        level, moment = record.levelname.lower(), time.gmtime(record.created)
        now = f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{record.created % 1 * 1e6:06.0f}Z"
        event = record.msg if isinstance(record.msg, _Event) else _Event(record.getMessage(), {})
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if self._readable:
            return f"{now} {level:7} {event}" + (f"\n{trace}" if trace else "")
        told = {**event.facts, "event": event.name, "level": level, "timestamp": now}
        return json.dumps(told | ({"exception": trace} if trace else {}), default=repr)


log = Log(logging.getLogger("batchyard"))


def to_stderr() -> None:
    """Log events as JSON lines on standard error, or readable on a terminal."""
    logger, out = logging.getLogger("batchyard"), logging.StreamHandler(sys.stderr)
    out.setFormatter(_Lines(readable=sys.stderr.isatty()))
    logger.handlers = [out]
    logger.setLevel(logging.INFO)
    logger.propagate = False
