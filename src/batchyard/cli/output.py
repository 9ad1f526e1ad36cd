"""Where a verb writes a file: beside its place until all of it is there, and never over another."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

__all__ = ["published"]


@contextmanager
def published(path: Path | None) -> Iterator[IO[bytes]]:
    """What is written comes to stand at the path when all went well; without one, on stdout."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists():
        raise click.ClickException(f"{path} exists already; remove it or choose another -o.")
    beside = path.with_name(f"{path.name}.partial")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
