"""Files of requests and of results from Python: what the verbs of the command do, as functions."""

import os
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

from batchyard.client.apis.targets import TARGETS, Target
from batchyard.client.examining.checking import Report
from batchyard.client.examining.checking import check as check_chunks
from batchyard.client.examining.fixing import Change
from batchyard.client.examining.fixing import fix as fix_chunks
from batchyard.client.examining.reading import chunks_of, lines_of
from batchyard.client.results.comparing import Difference, compare
from batchyard.client.results.counting import RequestStats, ResultStats, count
from batchyard.client.results.uniting import InputIdsError, Merged, unite
from batchyard.places.whole import publish, replaced

__all__ = ["InputIdsError", "Merged", "check", "diff", "fix", "merge", "stats"]

AnyPath = str | os.PathLike[str]


def check(
    path: AnyPath,
    target: str = "openai",
    *,
    endpoint: str | None = None,
    models: Collection[str] | None = None,
    enqueued_tokens_max: int | None = None,
) -> Report:
    """All that is wrong with a file for a target, which serves only `models` where they are given.

    The report has `errors`, for which the target would refuse the file, and `warnings`.
    """
    return check_chunks(
        partial(chunks_of, Path(path)),
        _target(target),
        endpoint=endpoint,
        known_model=models.__contains__ if models is not None else None,
        enqueued_tokens_max=enqueued_tokens_max,
    )


def fix(
    path: AnyPath, output: AnyPath, target: str = "openai", *, url: str | None = None
) -> list[Change]:
    """Repair what can be repaired into another file, whole or not at all; returns every change."""
    told: list[Change] = []

    def parts() -> Iterator[bytes]:
        for line, changes in fix_chunks(partial(chunks_of, Path(path)), _target(target), url=url):
            told.extend(changes)
            if line is not None:
                yield line + b"\n"

    publish(_free(output), parts())
    return told


def stats(path: AnyPath) -> RequestStats | ResultStats:
    """What is in a file of requests or of results, in numbers."""
    return count(lines_of(chunks_of(Path(path))))


def diff(before: AnyPath, after: AnyPath, field: str | None = None) -> Iterator[Difference]:
    """Each request of two files of results, and whether its answer is the same."""
    return compare(Path(before), Path(after), field)


def merge(
    results: Iterable[AnyPath],
    output: AnyPath,
    *,
    input: AnyPath | None = None,
    accept_cut_off: bool = False,
) -> Merged:
    """Merge files of results, in the order in which they came, into one line for each request.

    With `input`, for each request of that file, in its order. See `batchyard merge`.
    """
    paths = [Path(one) for one in results]
    asked = None if input is None else Path(input)
    with replaced(_free(output)) as beside, beside.open("wb") as out:
        return unite(out, paths, asked, accept_cut_off=accept_cut_off, beside=beside.parent)


def _target(name: str) -> Target:
    if name not in TARGETS:
        raise ValueError(f"There is no target '{name}'; there are {', '.join(TARGETS)}.")
    return TARGETS[name]


def _free(output: AnyPath) -> Path:
    path = Path(output)
    if path.exists():
        raise FileExistsError(f"{path} exists already; remove it or choose another output.")
    return path
