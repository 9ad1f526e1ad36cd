"""`python -m bench`: run scenarios and write what they found to bench/RESULTS.md."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import crowd, helping, peers, runs, served, toolkit, uploads
from bench.report import Section, load, renew, write
from bench.setting import Setting
from bench.upstream import compile_floor

__all__ = ["main"]

_SCENARIOS: dict[str, Callable[[Setting], Iterator[Section]]] = {
    "run": runs.plain,
    "alternatives": peers.alternatives,
    "worker": served.worker,
    "faults": served.faulty,
    "full-upstream": runs.full_upstream,
    "upload": uploads.large,
    "one-line": served.one_line,
    "restart": served.restart,
    "crowd": crowd.crowd,
    "help": helping.helping,
    "builder": toolkit.builder,
    "checker": toolkit.checker,
    "merger": toolkit.merger,
    "tables": toolkit.tables,
    "million": runs.million,
    "merger-10m": toolkit.large_merger,
}
_ONLY_FULL = ("million", "merger-10m")
_PAGE = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Run the scenarios that were named, or all of them, one after the other."""
    asked = _arguments()
    # Ended early, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Whoever installs us has compiled modules; a start that compiles them is not ours to count.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    names = asked.scenarios or [name for name in _SCENARIOS if asked.full or name not in _ONLY_FULL]
    sections: list[Section] = []
    before = load()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
        setting = Setting(Path(folder), compile_floor(Path(folder)), asked.lines, asked.repeat)
        for name in names:
            for section in _SCENARIOS[name](setting):
                sections.append(section)
                _show(section)
    if asked.renew:
        renew(_PAGE, sections, loads=(before, load()))
        return
    page = asked.results or (None if asked.scenarios else _PAGE)
    if page is not None:
        loads = (before, load())
        write(page, sections, upstream=setting.floor.name, lines=asked.lines, loads=loads)
        print(f"\nwritten to {page}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(_SCENARIOS))
    parser.add_argument("--lines", type=int, default=50_000, help="lines of a batch (50,000)")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--full", action="store_true", help="also what takes minutes and gigabytes")
    parser.add_argument("--folder", type=Path, help="where files may be written meanwhile")
    parser.add_argument(
        "--results", type=Path, help="the page; RESULTS.md here, if no scenario is named"
    )
    parser.add_argument(
        "--renew", action="store_true", help="put what is found into RESULTS.md, leave the rest"
    )
    asked = parser.parse_args()
    if unknown := set(asked.scenarios) - set(_SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(_SCENARIOS)}")
    return asked


def _show(section: Section) -> None:
    print(f"\n{section.title}\n  {section.setting}")
    for figure in section.figures:
        print("  " + figure.row())


if __name__ == "__main__":
    main()
