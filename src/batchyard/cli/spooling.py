"""What comes on stdin, kept as a file, so that the same command can go on after a kill."""

import os
import sys
from hashlib import sha256
from pathlib import Path

import click

from batchyard.places.whole import install
from batchyard.wire.lines import BOM

__all__ = ["spooled"]

_FOLDER = Path(".batchyard")
_CHUNK_BYTES = 1 << 20


def spooled(source: Path) -> Path:
    """The file itself; of `-` what stdin holds, by its content, so that it is the same again."""
    if str(source) != "-":
        return source
    stdin, whole = sys.stdin.buffer, sha256()
    if stdin.isatty():
        click.echo("reading stdin; end with Ctrl-D", err=True)
    _FOLDER.mkdir(exist_ok=True)
    beside = _FOLDER / f"stdin.{os.getpid()}.partial"
    try:
        with beside.open("wb") as out:
            first = part = stdin.read(_CHUNK_BYTES)
            while part:
                whole.update(part)
                out.write(part)
                part = stdin.read(_CHUNK_BYTES)
        if not first.strip():
            raise click.ClickException("There is nothing on stdin.")
        suffix = "jsonl" if first.removeprefix(BOM).lstrip()[:1] == b"{" else "csv"
        path = _FOLDER / f"stdin-{whole.hexdigest()[:12]}.{suffix}"
        install(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path
