"""What the operating system lets this process have."""

import resource
import shutil
from pathlib import Path

__all__ = ["disk_free_bytes", "open_files_max"]


def disk_free_bytes(folder: Path) -> int:
    """How much this user may still write where a folder is."""
    return shutil.disk_usage(folder).free


def open_files_max() -> None:
    """Allow as many connections as the system lets this user have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
