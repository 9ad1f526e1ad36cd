"""What a verb writes: files, whole and never over another, and warnings, each once."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn

import click

from batchyard.cli.lazily import lazily

with lazily():
    from batchyard.places import whole


__all__ = ["end", "noted", "published", "talk"]


def end(text: str, code: int) -> NoReturn:
    """Say why a verb ends here, with this exit code."""
    click.echo(f"Error: {text}", err=True)
    sys.exit(code)


def talk(text: str) -> None:
    """Say something to people on stderr; that none of them reads it any more is no fault."""
    with suppress(OSError):
        click.echo(text, err=True)


@contextmanager
def noted() -> Iterator[None]:
    """Warnings are told on stderr, each text once, however often it comes."""
    told = set[str]()

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in told:
            told.add(str(message))
            click.echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = tell
        yield


@contextmanager
def published(path: Path | None) -> Iterator[IO[bytes]]:
    """What is written comes to stand at the path when all went well; without one, on stdout."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists():
        raise click.ClickException(f"{path} exists already; remove it or choose another -o.")
    with whole.replaced(path) as beside, beside.open("wb") as file:
        yield file
