"""What the operating system lets this process have."""

import resource

__all__ = ["open_files_max"]


def open_files_max() -> None:
    """Allow as many connections as the system lets this user have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
