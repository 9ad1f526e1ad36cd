"""A folder on a disk that fails at a call that was chosen before, and the process with it."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EINTR, EIO, ENOSPC
from pathlib import Path
from typing import Any

import pytest

__all__ = ["HOWS", "FaultyDisk", "KilledError", "random_faults"]

_CALLS = ("pwrite", "fdatasync", "fsync", "ftruncate", "truncate", "rename", "replace", "unlink")
_ERRORS = {"EIO": EIO, "ENOSPC": ENOSPC, "EINTR": EINTR}
HOWS = (*_ERRORS, "half", "kill")


class KilledError(BaseException):
    """The process is no more: none of its calls has an effect from now on."""


class FaultyDisk:
    """Counts the calls that change a folder; from the `at`th on, `times` of them go wrong.

    `how` is the name of an error, `half` for a write that is cut off by an error in its middle,
    or `kill`. What a failed sync should have made durable is lost, as in the kernel, which holds
    its pages for clean from then on.
    """

    def __init__(self, folder: Path, at: int = 0, how: str = "EIO", times: int = 1) -> None:
        self._folder, self._at, self._how, self._times = folder, at, how, times
        self._is_dead = False
        self._synced: dict[int, int] = {}
        self.calls = 0

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """While this lasts, calls go by this disk."""
        with pytest.MonkeyPatch.context() as patch:
            for name in _CALLS:
                patch.setattr(os, name, self._wrapped(name, getattr(os, name)))
            yield

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(where: Any, *rest: Any, **named: Any) -> Any:
            is_open = isinstance(where, int)
            path = Path(f"/proc/self/fd/{where}").readlink() if is_open else Path(where)
            if not path.is_relative_to(self._folder):
                return real(where, *rest, **named)
            self.calls += 1
            if self._is_dead or (self._how == "kill" and self.calls == self._at):
                self._is_dead = True
                raise KilledError
            is_file = is_open and path.is_file()
            if is_file:
                # What was there before was synced by whoever wrote it.
                self._synced.setdefault(where, os.fstat(where).st_size)
            if self._at <= self.calls < self._at + self._times and self._how != "kill":
                self._go_wrong(name, where, *rest, is_file=is_file)
            found = real(where, *rest, **named)
            if is_file and name in ("fdatasync", "fsync"):
                self._synced[where] = os.fstat(where).st_size
            return found

        return call

    def _go_wrong(self, name: str, where: Any, *rest: Any, is_file: bool) -> None:
        if name == "pwrite" and self._how == "half":
            text, offset = rest
            os.lseek(where, offset, os.SEEK_SET)
            os.write(where, bytes(text)[: len(text) // 2])
        if is_file and name in ("fdatasync", "fsync"):
            lost_bytes = os.lseek(where, 0, os.SEEK_END) - self._synced[where]
            os.lseek(where, self._synced[where], os.SEEK_SET)
            os.write(where, bytes(max(0, lost_bytes)))
        number = _ERRORS.get(self._how, ENOSPC)
        raise OSError(number, os.strerror(number), str(where))


def random_faults(seed: int) -> list[tuple[int, str, int]]:
    """What befalls some runs, one after the other: at which call, how, and how often."""
    chance = random.Random(seed)
    return [
        (chance.randint(1, 28), chance.choice((*HOWS, "kill", "kill")), chance.choice((1, 2, 5)))
        for _ in range(chance.randint(2, 4))
    ]
