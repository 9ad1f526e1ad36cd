"""What the operating system lets this process have."""

import os
import resource
from collections.abc import Mapping
from pathlib import Path

__all__ = ["cache_folder", "disk_free_bytes", "open_files_max"]


def disk_free_bytes(folder: Path) -> int:
    """How much this user may still write where a folder is."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def open_files_max() -> None:
    """Allow as many connections as the system lets this user have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where is kept what may be lost: BATCHYARD_CACHE, else the user's folder for caches."""
    if chosen := environment.get("BATCHYARD_CACHE"):
        return Path(chosen)
    if base := environment.get("XDG_CACHE_HOME"):
        return Path(base) / "batchyard"
    return Path.home() / ".cache" / "batchyard"
