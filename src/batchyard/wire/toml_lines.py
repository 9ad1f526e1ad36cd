"""In which line of a TOML document each key and each table stands; the parser does not tell."""

import re
import tomllib
from collections.abc import Iterator

__all__ = ["KeyPath", "lines_of_keys"]

# Keys and indexes from the top of the document down to a value: ("upstream", 0, "url").
KeyPath = tuple[str | int, ...]

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""+'
    r"|'''.*?'''+"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|\n"
    r"|[\[\]{}=.,]"
    r"|[^\s\[\]{}=.,#\"']+",
    re.DOTALL,
)


def lines_of_keys(text: str) -> dict[KeyPath, int]:
    """The lines, counted from 1, of a document that the parser has taken.

    What stands in an inline table is not listed: its line is that of the key it belongs to.
    """
    lines: dict[KeyPath, int] = {}
    tables: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, statement in _statements(text):
        if statement[0] == "[":
            is_list = statement[:2] == ["[", "["]
            table = _in_last_tables(_key(statement), tables)
            if is_list:
                tables[table] = tables.get(table, -1) + 1
                lines.setdefault(table, number)
                table = (*table, tables[table])
            lines.setdefault(table, number)
        elif "=" in statement:
            key = table
            for part in _key(statement[: statement.index("=")]):
                key = (*key, part)
                lines.setdefault(key, number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Headers of tables and settings, each with the line of its first token."""
    number, depth, start = 1, 0, 1
    statement: list[str] = []
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token == "\n" and depth == 0:
            if statement:
                yield start, statement
            statement = []
        elif token != "\n" and not token.startswith("#"):
            if not statement:
                start = number
            statement.append(token)
            depth += (token in "[{") - (token in "]}")
        number += token.count("\n")
    if statement:
        yield start, statement


def _key(tokens: list[str]) -> tuple[str, ...]:
    """The parts of a key that may be dotted and quoted; numbers between dots are parts too."""
    return tuple(
        next(iter(tomllib.loads(f"{token} = 0"))) for token in tokens if token not in "[].="
    )


def _in_last_tables(key: tuple[str, ...], tables: dict[KeyPath, int]) -> KeyPath:
    """The key of a header, where the tables above it may be the last ones of lists."""
    path: KeyPath = ()
    for part in key[:-1]:
        path = (*path, part)
        if path in tables:
            path = (*path, tables[path])
    return (*path, key[-1])
