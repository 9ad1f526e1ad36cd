"""Bounds the bytes of all answers that a process holds at once, whatever upstreams send."""

from collections.abc import Callable
from typing import Protocol

from batchyard.places.machine import memory_bytes

__all__ = ["ByteBudget", "Reader"]

# Of the memory; what is held as an answer is soon held as lines of a file too, and there may be
# several workers.
_SHARE = 16
_LIMIT_BYTES_MIN, _LIMIT_BYTES_MAX = 64 << 20, 256 << 20


class Reader(Protocol):
    """Whoever reads one large answer at a time, and can stop reading."""

    def resume(self) -> None:
        """The bytes that were asked for may be read now."""


class ByteBudget:
    """Counts the bytes of large answers from when they begin to come until they are recorded.

    Readers ask for bytes before they read them. Whoever is told to wait stops reading its socket,
    and the upstream cannot send more. One answer can always be completed, however large: when
    nobody reads and nothing is about to be recorded, the first who waits goes on beyond the limit.
    So there are at most `limit_bytes` and one answer more, beside those too small to be counted.

    `is_spent` is true from when a reader has to wait until half of the limit is free again: no
    requests should be sent meanwhile. `on_room` is called when that ends.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        if limit_bytes is None:
            limit_bytes = memory_bytes() // _SHARE
            limit_bytes = max(_LIMIT_BYTES_MIN, min(limit_bytes, _LIMIT_BYTES_MAX))
        self.limit_bytes = limit_bytes
        self.is_spent = False
        self.on_room: Callable[[], None] = _nothing
        self._held_bytes = self._unrecorded_bytes = 0
        self._reading: set[Reader] = set()
        # In the order in which they came, with the bytes that they wait for.
        self._waiting: dict[Reader, int] = {}
        # It holds the most already, so it is let through to its end before anybody else.
        self._favoured: Reader | None = None

    @property
    def held_bytes(self) -> int:
        """The bytes that are counted now."""
        return self._held_bytes

    def reserve(self, reader: Reader, count: int) -> bool:
        """Ask for so many bytes more; False where the reader must wait until it is resumed."""
        if self._may_read(reader, count) and not self._waiting_before(reader):
            self._grant(reader, count)
            return True
        self._reading.discard(reader)
        self._waiting[reader] = count
        self.is_spent = True
        self._resume_readers()
        return reader in self._reading

    def release(self, reader: Reader, count: int) -> None:
        """The reader has ended, well or not, and has asked for so many bytes in all."""
        self._reading.discard(reader)
        count -= self._waiting.pop(reader, 0)
        if self._favoured is reader:
            self._favoured = None
        self._held_bytes -= count
        self._room_came()

    def hold(self, count: int) -> None:
        """Count an answer that is whole until it is recorded."""
        self._held_bytes += count
        self._unrecorded_bytes += count

    def recorded(self, count: int) -> None:
        """So many of the bytes held are on the disk."""
        self._held_bytes -= count
        self._unrecorded_bytes -= count
        self._room_came()

    def _waiting_before(self, reader: Reader) -> bool:
        return bool(self._waiting) and reader is not self._favoured

    def _may_read(self, reader: Reader, count: int) -> bool:
        if self._held_bytes + count <= self.limit_bytes or reader is self._favoured:
            return True
        return not self._unrecorded_bytes and self._reading <= {reader}

    def _grant(self, reader: Reader, count: int) -> None:
        self._held_bytes += count
        self._reading.add(reader)
        if self._held_bytes > self.limit_bytes:
            self._favoured = reader

    def _room_came(self) -> None:
        self._resume_readers()
        if self.is_spent and not self._waiting and self._held_bytes <= self.limit_bytes // 2:
            self.is_spent = False
            self.on_room()

    def _resume_readers(self) -> None:
        while self._waiting:
            reader, count = next(iter(self._waiting.items()))
            if not self._may_read(reader, count):
                return
            del self._waiting[reader]
            self._grant(reader, count)
            reader.resume()


def _nothing() -> None:
    pass
