"""What was served: one log line per request, and the counts of them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from batchyard.sim.messages import Head, Request

__all__ = ["Ledger"]

_FLUSH_SECONDS = 0.1
_encode_lines = msgspec.json.Encoder().encode_lines


class _Line(msgspec.Struct, frozen=True, gc=False):
    """A line of the log; `key` is what the client calls its request, or the hash of its body."""

    at: float
    path: str
    key: str
    custom: str | None
    answered: int | str
    ms: float


class Ledger:
    """Counts requests as they come and go, and logs each once it is known how it ended."""

    def __init__(
        self, log: Path | None, *, wall: Callable[[], float], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._file = log.open("ab") if log is not None else None
        self._wall = wall
        self._loop = loop
        self._lines: list[_Line] = []
        self._wall_at_zero = 0.0
        self._flushing: asyncio.TimerHandle | None = None
        self._received = 0
        self._ended: Counter[tuple[str, int | str]] = Counter()
        self._ended_count = 0
        self._in_flight_max = 0
        self._tokens = 0
        self.connections = 0

    def begin(self, head: Head) -> None:
        """A request is here; those that only look at the simulation are not counted."""
        if not head.is_counted:
            return
        self._received += 1
        in_flight = self._received - self._ended_count
        if in_flight > self._in_flight_max:
            self._in_flight_max = in_flight

    def end(self, request: Request, answered: int | str, tokens: int = 0) -> None:
        """The request has its answer, or its fault, or its client has left."""
        head = request.head
        if not head.is_counted:
            return
        self._ended[head.path, answered] += 1
        self._ended_count += 1
        self._tokens += tokens
        if self._file is None:
            return
        if self._flushing is None:
            self._flushing = self._loop.call_later(_FLUSH_SECONDS, self.flush)
            # The wall clock is asked once for all lines that are written together.
            self._wall_at_zero = self._wall() - self._loop.time()
        arrived = request.arrived
        line = _Line(
            self._wall_at_zero + arrived,
            head.path,
            head.key or request.digest[:16].hex(),
            head.key,
            answered,
            (self._loop.time() - arrived) * 1e3,
        )
        self._lines.append(line)

    @property
    def in_flight(self) -> int:
        """Requests that are here and have not ended."""
        return self._received - self._ended_count

    def stats(self) -> dict[str, Any]:
        """The counts since the start, as JSON data; `answered` has statuses and faults."""
        answered: Counter[str] = Counter()
        paths: Counter[str] = Counter()
        for (path, how), count in self._ended.items():
            answered[str(how)] += count
            paths[path] += count
        return {
            "simulated": True,
            "received": self._received,
            "in_flight": self.in_flight,
            "in_flight_max": self._in_flight_max,
            "connections": self.connections,
            "tokens": self._tokens,
            "answered": dict(answered),
            "paths": dict(paths),
        }

    def metrics(self) -> str:
        """The same counts in Prometheus' text format."""
        lines = ["# TYPE batchyard_sim_requests_total counter"]
        lines += [
            f'batchyard_sim_requests_total{{path="{path}",answered="{how}"}} {count}'
            for (path, how), count in sorted(self._ended.items(), key=str)
        ]
        for name, kind, value in (
            ("tokens_total", "counter", self._tokens),
            ("requests_in_flight", "gauge", self.in_flight),
            ("connections", "gauge", self.connections),
        ):
            lines += [f"# TYPE batchyard_sim_{name} {kind}", f"batchyard_sim_{name} {value}"]
        return "\n".join(lines) + "\n"

    def flush(self) -> None:
        """Hand the log to the system; it is complete up to here."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._file is not None and self._lines:
            lines, self._lines = self._lines, []
            self._file.write(_encode_lines(lines))
            self._file.flush()

    def close(self) -> None:
        """Flush and close the log."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None
