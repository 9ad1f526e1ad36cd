"""Files that are there whole or not at all, and stay when the power goes."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["install", "publish", "replaced", "sync_folder"]

_BUFFER_BYTES = 1 << 18


def publish(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file whole or not at all; `content` is bytes, or parts of bytes."""
    parts = [content] if isinstance(content, bytes) else content
    beside = path.with_name(path.name + ".part")
    try:
        with beside.open("wb", buffering=_BUFFER_BYTES) as file:
            for part in parts:
                file.write(part)
        install(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A place beside a path, for one process; it takes the path's place unless the block fails.

    The block writes a file there, and closes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield beside
        install(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def install(written: Path, path: Path) -> None:
    """Have a file that was written and closed stand at its path, and stay there."""
    descriptor = os.open(written, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    written.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have what was created, renamed or removed in a folder survive the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
