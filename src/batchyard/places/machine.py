"""What the operating system lets this process have."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["cache_folder", "disk_free_bytes", "end_with_parent", "open_files_max"]

# From Linux' prctl.h.
_PR_SET_PDEATHSIG = 1


def disk_free_bytes(folder: Path) -> int:
    """How much this user may still write where a folder is."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def open_files_max() -> None:
    """Allow as many connections as the system lets this user have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_with_parent() -> None:
    """Have this process be sent SIGTERM when its parent dies, where the system can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where is kept what may be lost: BATCHYARD_CACHE, else the user's folder for caches."""
    if chosen := environment.get("BATCHYARD_CACHE"):
        return Path(chosen)
    if base := environment.get("XDG_CACHE_HOME"):
        return Path(base) / "batchyard"
    return Path.home() / ".cache" / "batchyard"
