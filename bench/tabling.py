"""Tables in and out: `python -m bench.tabling prepare|write|read|join ROWS FOLDER [IN] [OUT]`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batchyard.client.tables import join, rows_of, write_table

_RESULT = (
    b'{"line":%d,"custom_id":"r%d","outcome":"succeeded","response":{"status_code":200,'
    b'"request_id":"req_%d","body":{"id":"chatcmpl-%d","object":"chat.completion","created":'
    b'1790000000,"model":"m1","choices":[{"index":0,"message":{"role":"assistant","content":'
    b'"negative %d"},"finish_reason":"stop"}],"usage":{"prompt_tokens":30,"completion_tokens":5,'
    b'"total_tokens":35}}},"error":null,"attempts":[{"batch_id":"batch_1","outcome":"succeeded",'
    b'"code":"","message":""}]}\n'
)


def prepare(rows: int, folder: Path) -> None:
    """Write what a campaign of so many rows has ended with."""
    folder.mkdir(exist_ok=True)
    with (folder / "results.jsonl").open("wb") as out:
        out.writelines(_RESULT % (n + 1, n, n, n, n) for n in range(rows))


def write(rows: int, folder: Path, kind: str) -> None:
    """Write a table of rows that are made up on the way."""
    print(write_table(_made_up(rows), folder / f"rows.{kind}"))


def read(_rows: int, folder: Path, kind: str) -> None:
    """Read all rows of a table."""
    print(sum(1 for _ in rows_of(folder / f"rows.{kind}")))


def beside(_rows: int, folder: Path, kind: str) -> None:
    """Write a table with the answers beside its rows."""
    joined = join(folder / f"rows.{kind}", folder / "results.jsonl")
    print(write_table(joined, folder / f"joined.{kind}"))


def _made_up(rows: int) -> Iterator[dict[str, Any]]:
    for n in range(rows):
        yield {
            "id": f"r{n:08d}",
            "text": f"Order {n} came late, and the box was damaged; nobody answers the phone.",
            "stars": n % 5,
            "score": n * 0.25,
        }


if __name__ == "__main__":
    _VERBS: dict[str, Any] = {"prepare": prepare, "write": write, "read": read, "join": beside}
    _VERBS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
