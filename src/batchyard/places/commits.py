"""A folder that is shared at a URL: a log of commits, one owner at a time, files that they name.

A commit is an object `log/NUMBER.json` that is put only where there is none. That is all the
guarantee rests on: of two who write the same number one is told that it was late, and whoever
wrote the newest commit is the owner. Files have keys of their own and count once a commit names
them, so nothing that somebody puts late is in anybody's way.
"""

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from getpass import getuser
from typing import Protocol
from uuid import uuid4

import msgspec
from msgspec import Raw, Struct

from batchyard.places.objects import Objects, StoreError

__all__ = ["Commits", "Kept", "LateError", "OwnedError"]

# Every so many commits one holds all that came before it, so that few need be read.
_WHOLE = 64
# An owner is heard of so often, and is taken for dead when it was not for so long.
_HEARD_SECONDS, _DEAD_SECONDS = 20.0, 120.0
# Pauses between the tries of a commit; an object store has tried for itself before.
_PAUSES = (0.5, 2.0)
_NUMBER = re.compile(r"log/([0-9]{8})\.json").fullmatch


class OwnedError(Exception):
    """Another owner is at work, and alive."""


class LateError(Exception):
    """Another owner has taken over; nothing was written."""


class Owner(Struct, frozen=True):
    """One process's time with the folder; `desk` is the working folder in which it is alone."""

    run: str
    desk: str
    who: str


class Kept(Struct, frozen=True):
    """Where the bytes of a file are, and how many."""

    key: str
    size: int


class _Commit(Struct, frozen=True, omit_defaults=True):
    by: Owner
    steps: list[Raw] = []
    files: dict[str, Kept] = {}
    whole: bool = False


class _Clock(Protocol):
    """What is waited with."""

    def __call__(self, seconds: float, /) -> object: ...


class Commits:
    """The log at a URL as far as it was read; `steps` and `files` are what it adds up to."""

    def __init__(self, objects: Objects, desk: str, pause: _Clock = time.sleep) -> None:
        self._objects, self._pause = objects, pause
        who = f"{_user()}@{socket.gethostname()}, process {os.getpid()}"
        self.me = Owner(uuid4().hex[:12], desk, who)
        self.steps: list[bytes] = []
        self.files: dict[str, Kept] = {}
        self.next = 0
        self._owner: Owner | None = None
        self._ended = threading.Event()
        self._staying: threading.Thread | None = None
        self._is_dismissed = False

    def read_on(self) -> None:
        """Take in what was written since."""
        after = _key(self.next - 1) if self.next else ""
        found = [int(one[1]) for one in map(_NUMBER, self._objects.names("log", after)) if one]
        if not found:
            return
        last = max(found)
        wanted = range(max(self.next, last - last % _WHOLE), last + 1)
        bodies = self._objects.read_all(map(_key, wanted))
        for number, body in zip(wanted, bodies, strict=True):
            if body is None:
                raise StoreError(f"{self._objects.url}/{_key(number)} is not there.")
            try:
                self._fold(number, msgspec.json.decode(body, type=_Commit))
            except msgspec.DecodeError as error:
                raise StoreError(f"{self._objects.url}/{_key(number)}: {error}") from error

    def begin(self, steps: Iterable[bytes], files: Mapping[str, Kept]) -> bool:
        """Write the first commit; False where somebody has."""
        first = _Commit(self.me, [Raw(one) for one in steps], dict(files))
        begun = self._append(first)
        if begun and self._objects.create(_key(0), b"{}"):
            self._objects.remove(_key(0))
            raise StoreError(
                f"{self._objects.url}: this store overwrites what is to be put only once "
                "(If-None-Match), so a campaign is not safe there."
            )
        return begun

    def take(self) -> None:
        """Become the owner; OwnedError where there is one that was heard of lately."""
        self._objects.put(_heart(self.me), msgspec.json.encode(self.me))
        try:
            before = self._free()
            while not self._append(_Commit(self.me)):
                before = self._free()
            if before is not None and before.run != self.me.run:
                self._objects.remove(_heart(before))
                self._objects.remove(_mark(before))
        except BaseException:
            self._objects.remove(_heart(self.me))
            raise

    def stay(self, look: Callable[[], object]) -> None:
        """Be heard of from now on; `look` is called as often."""
        self._staying = threading.Thread(target=self._stay, args=(look,), daemon=True)
        self._staying.start()

    def leave(self) -> None:
        """Leave the folder to others."""
        self._ended.set()
        if self._staying is not None:
            self._staying.join(_HEARD_SECONDS)
        try:
            self._objects.remove(_heart(self.me))
        except StoreError:
            # It is taken for dead in a while.
            return

    def dismiss(self) -> str | None:
        """Take the owner for dead, whoever it is; it is told so when it is heard of next."""
        self.read_on()
        owner = self._owner
        if owner is None or self._objects.changed_at(_heart(owner)) is None:
            return None
        # A mark of its own: the owner may be just about to be heard of again.
        self._objects.put(_mark(owner), b"")
        self._objects.remove(_heart(owner))
        return owner.who

    def hold(self) -> None:
        """Raise LateError where another owner has taken over."""
        self.read_on()
        if self._is_dismissed or self._owner is None or self._owner.run != self.me.run:
            raise LateError(self._owner.who if self._owner is not None else "nobody")

    def write(self, step: bytes, files: Mapping[str, Kept]) -> None:
        """Write a step and the files it speaks of; LateError where another has taken over."""
        if self._is_dismissed or not self._append(_Commit(self.me, [Raw(step)], dict(files))):
            self.read_on()
            raise LateError(self._owner.who if self._owner is not None else "nobody")

    def _append(self, commit: _Commit) -> bool:
        """Whether it is the next one; what has been written meanwhile is not read."""
        number, told = self.next, commit
        if number and number % _WHOLE == 0:
            steps = [Raw(one) for one in (*self.steps, *map(bytes, commit.steps))]
            told = _Commit(commit.by, steps, self.files | commit.files, whole=True)
        if not self._create(_key(number), msgspec.json.encode(told)):
            return False
        self._fold(number, commit)
        return True

    def _create(self, key: str, body: bytes) -> bool:
        for pause in (*_PAUSES, None):
            try:
                # Where it is there already, it may be ours: an answer may have been lost.
                return self._objects.create(key, body) or self._objects.read(key) == body
            except StoreError:
                if pause is None:
                    raise
                self._pause(pause)
        raise AssertionError

    def _fold(self, number: int, commit: _Commit) -> None:
        if commit.whole:
            self.steps, self.files = [], {}
        self.steps += map(bytes, commit.steps)
        self.files |= commit.files
        self._owner, self.next = commit.by, number + 1

    def _free(self) -> Owner | None:
        """The owner there was, who is not heard of any more."""
        self.read_on()
        other = self._owner
        if other is None or other.desk == self.me.desk:
            return other
        then = self._objects.changed_at(_heart(other))
        now = self._objects.changed_at(_heart(self.me))
        if then is None or now is None or self._objects.changed_at(_mark(other)) is not None:
            return other
        if now - then < _DEAD_SECONDS:
            left = _DEAD_SECONDS - (now - then)
            raise OwnedError(f"{other.who}, heard of {now - then:.0f} s ago (free in {left:.0f} s)")
        return other

    def _stay(self, look: Callable[[], object]) -> None:
        while not self._ended.wait(_HEARD_SECONDS):
            try:
                if self._objects.changed_at(_mark(self.me)) is not None:
                    self._is_dismissed = True
                    return
                self._objects.put(_heart(self.me), msgspec.json.encode(self.me))
                look()
            except StoreError:
                # The next commit tells whether this matters.
                continue
            except RuntimeError:
                # The process ends, and has no threads any more.
                return


def _heart(owner: Owner) -> str:
    return f"owners/{owner.run}"


def _mark(owner: Owner) -> str:
    return f"owners/{owner.run}.dismissed"


def _key(number: int) -> str:
    return f"log/{number:08d}.json"


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):
        return "somebody"
