"""A batch file by the toolkit: `python -m bench.building KIND LINES OUT`."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from batchyard import build
from batchyard.client.apis.targets import TARGETS
from batchyard.client.examining.checking import check as check_file
from batchyard.client.examining.reading import chunks_of
from bench.wanted import FILLER, Verdict

__all__ = ["KINDS"]


def plain(count: int, path: Path) -> None:
    """A response for each number."""
    with build.RequestFile(path) as out:
        for number in range(count):
            out.responses.create(
                f"request-{number}",
                "m1",
                instructions="Be brief.",
                input=f"{number} {FILLER}",
                max_output_tokens=200,
            )


def structured(count: int, path: Path) -> None:
    """A response for each number, whose answer has a type."""
    with build.RequestFile(path) as out:
        for number in range(count):
            out.responses.parse(
                f"request-{number}",
                "m1",
                text_format=Verdict,
                instructions="Be brief.",
                input=f"{number} {FILLER}",
            )


def templated(count: int, path: Path) -> None:
    """A template, filled in for each row."""
    messages = [build.system("Be brief."), build.user("Classify {number}: {text}")]
    made = build.response_rows(
        _rows(count), model="m1", input=messages, custom_id="id", max_output_tokens=200
    )
    with build.RequestFile(path) as out:
        out.extend(made)


def embeddings(count: int, path: Path) -> None:
    """Embeddings of one text in a line."""
    made = build.embedding_rows(_rows(count), model="m1", input="{number} {text}", custom_id="id")
    with build.RequestFile(path) as out:
        out.extend(made)


def packed(count: int, path: Path) -> None:
    """Embeddings of as many texts in a line as fit."""
    with build.RequestFile(path) as out:
        out.extend(build.pack((f"{number} {FILLER}" for number in range(count)), model="m1"))


def check(_count: int, path: Path) -> None:
    """What is wrong with a file."""
    report = check_file(partial(chunks_of, path), TARGETS["openai"])
    assert not report.errors, report.errors


def _rows(count: int) -> Iterator[dict[str, Any]]:
    return ({"id": f"request-{n}", "number": n, "text": FILLER} for n in range(count))


KINDS: dict[str, Callable[[int, Path], None]] = {
    "plain": plain,
    "structured": structured,
    "templated": templated,
    "embeddings": embeddings,
    "packed": packed,
    "check": check,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
