"""Watches that the disk has room for the answers before they are asked for."""

from collections.abc import Callable

from batchyard.flow.lanes import Gate
from batchyard.places.log import log

__all__ = ["LOOK_AGAIN_SECONDS", "Space"]

# Nothing tells when a disk has room again.
LOOK_AGAIN_SECONDS = 2.0


class Space:
    """Holds the lanes while less is free than what is in flight may need."""

    def __init__(
        self,
        free_bytes: Callable[[], int],
        least_bytes: int,
        *,
        gate: Gate,
        release: Callable[[], None],
    ) -> None:
        self._free_bytes, self._least_bytes = free_bytes, least_bytes
        self._gate, self._release = gate, release

    def is_low(self) -> bool:
        """Look, and hold the lanes or let them go."""
        free = self._free_bytes()
        low = free < self._least_bytes
        if low != self._gate.disk_is_low:
            self._gate.disk_is_low = low
            if low:
                log.error("disk_low", free_bytes=free, least_bytes=self._least_bytes)
            else:
                log.info("disk_has_room", free_bytes=free)
                self._release()
        return low
