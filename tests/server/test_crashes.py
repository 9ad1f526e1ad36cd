"""A server that dies while it makes something: the same request, sent again, makes it once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from batchyard.places.store import Records
from tests.server.door import LINE, Answer, Caller, Door, form
from tests.server.recorded import Running

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=B"}
NAMED = {"idempotency-key": "the only one"}
RETRY = "x-stainless-retry-count"


class Dead(BaseException):
    """The process is gone: nothing of it goes on."""


class House:
    """A folder with a server in it, which may die at a named moment and is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.door = Door(folder)
        self.caller = self.door.caller()

    def die_at(self, moment: str) -> None:
        """From now on: nothing that follows this moment happens."""

        def reach(name: str) -> None:
            if name == moment:
                raise Dead

        # Records made anew, as a start makes them, but with a bomb in them.
        self.door.yard.records.__init__(self.door._store, reach)  # type: ignore[misc]

    def start_again(self) -> None:
        """Close what is left of the process, and start another over what it left."""
        self.door.close()
        self.door = Door(self._folder)
        self.caller = Caller(self.door, self.caller.secret, self.caller.key_id)
