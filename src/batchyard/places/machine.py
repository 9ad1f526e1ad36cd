"""What the operating system lets this process have."""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = [
    "cache_folder",
    "disk_free_bytes",
    "end_with_parent",
    "memory_bytes",
    "open_files_max",
]

_CGROUPS = Path("/sys/fs/cgroup")
# From Linux' prctl.h.
_PR_SET_PDEATHSIG = 1


def disk_free_bytes(folder: Path) -> int:
    """How much this user may still write where a folder is."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def memory_bytes() -> int:
    """How much memory this process may use: the machine's, or what a container or shell allows."""
    bounds = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    soft, _hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        bounds.append(soft)
    for name in _cgroup_limits():
        with contextlib.suppress(OSError, ValueError):
            bounds.append(int(name.read_text(encoding="ascii")))
    return min(bounds)


def _cgroup_limits() -> Iterator[Path]:
    """The files that may hold a limit: of this process's group and of those around it."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in groups if line.count(":") >= 2):
        if controllers == "":
            base, name = _CGROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = _CGROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        steps = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(steps) + 1):
            yield base.joinpath(*steps[:depth], name)


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
