"""Files that are there whole or not at all, and stay when the power goes."""

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["publish", "sync_folder"]


def publish(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file whole or not at all; `content` is bytes, or parts of bytes."""
    parts = [content] if isinstance(content, bytes) else content
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have what was created, renamed or removed in a folder survive the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
