"""Batch files to measure with."""

from pathlib import Path

__all__ = ["ENDPOINT", "count_lines", "write_lines"]

ENDPOINT = "/v1/chat/completions"

_LINE = (
    b'{"custom_id":"request-%d","method":"POST","url":"/v1/chat/completions","body":{"model":"m1",'
    b'"messages":[{"role":"user","content":"%d %s"}],"max_tokens":200}}\n'
)


def write_lines(path: Path, count: int, *, line_bytes: int = 1000) -> Path:
    """Write a file of so many distinct lines of about so many bytes, unless it is there."""
    if not path.exists():
        filler = (b"Tell me about it. " * (line_bytes // 18 + 1))[: line_bytes - 165]
        with path.open("wb") as file:
            file.writelines(_LINE % (number, number, filler) for number in range(count))
    return path


def count_lines(path: Path) -> int:
    """How many lines a file has, without holding it."""
    with path.open("rb") as file:
        return sum(1 for _ in file)
