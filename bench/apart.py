"""`python -IS bench/apart.py FD CORE COMMAND...`: run a command from a process that is small.

Linux counts as memory of a process what the process that started it has held, up to the moment in
which it begins its own program. The bench has held much; this here holds less than any Python that
does something, and writes to FD: wall seconds, CPU seconds, the most bytes held, the exit code.
"""

import os
import sys
import time

__all__: list[str] = []


def main() -> None:
    """Run the command on a core, or on any where CORE is empty, and tell what it cost."""
    fd, core, *command = sys.argv[1:]
    if core:
        os.sched_setaffinity(0, {int(core)})
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    told = (seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, code)
    os.write(int(fd), " ".join(map(str, told)).encode())


if __name__ == "__main__":
    main()
