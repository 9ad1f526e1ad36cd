"""Lines that are appended to a file at once, each custom_id once, over one open handle."""

import json
import os
import weakref
from pathlib import Path
from typing import Any

import msgspec

from batchyard.client.building.requests import Request, custom_id_of, encode
from batchyard.client.building.writing import DuplicateIdError, Seen

__all__ = ["Appending"]


class Appending:
    """Appends to one file.

    A line that stood in the file, byte for byte, before it was opened is not written again: a
    script that is run twice leaves the file it left before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def add(self, custom_id: object, url: str, body: dict[str, Any], ensure_ascii: bool) -> None:
        """Append a request; raises DuplicateIdError where its custom_id has another already."""
        if not os.fstat(self._out).st_nlink:
            # The file was deleted, and with it all it held.
            self._open()
        id = custom_id_of(custom_id)
        line = encode(Request(custom_id=id, url=url, body=body))
        if ensure_ascii and not line.isascii():
            line = json.dumps(msgspec.json.decode(line)).encode()
        before = self._before.get(hash(id))
        if before == hash(line):
            return
        if before is not None or not self._seen.add(id):
            raise DuplicateIdError(
                f"The custom_id '{id}' is in {self.path} already, for another request; it must be "
                "unique within a batch."
            )
        _write(self._out, line + b"\n")

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._before: dict[int, int] = {}
        self._seen = Seen()
        if self.path.exists():
            for line in self.path.read_bytes().splitlines():
                self._remember(line)
        self._out = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        weakref.finalize(self, os.close, self._out)

    def _remember(self, line: bytes) -> None:
        try:
            found = msgspec.json.decode(line)
        except msgspec.DecodeError:
            return
        if isinstance(found, dict) and isinstance(found.get("custom_id"), str):
            self._before[hash(found["custom_id"])] = hash(line)


def _write(out: int, line: bytes) -> None:
    """Write all of it; a disk may take less at a time."""
    while line:
        line = line[os.write(out, line) :]
