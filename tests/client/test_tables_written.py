"""Rows written to Parquet and databases: every value with the type it had."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import polars
import pytest
from pydantic import BaseModel

from batchyard.client.tables import Query, TableError, rows_of, table_of, write_table


class Place(BaseModel):
    """A value that is a record."""

    city: str
    score: float


ROWS: list[dict[str, Any]] = [
    {
        "text": 'a "quoted"\nline, 木 🚀',
        "whole": 2**63 - 1,
        "large": 2**100,
        "number": 1,
        "exact": Decimal("1.50"),
        "yes": True,
        "day": date(2026, 11, 21),
        "naive": datetime(2026, 11, 21, 1, 2, 3, 4),
        "aware": datetime(2026, 11, 21, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))),
        "clock": time(1, 2, 3),
        "span": timedelta(days=1, milliseconds=5),
        "bytes": b"\x00\xff\\x",
        "id": UUID(int=7),
        "vector": [0.5, 1.0, -1.5],
        "record": {"a": 1, "b": [{"c": None}, {"c": "x"}]},
        "model": Place(city="Bern", score=1),
        "mixed": 1,
        "nothing": None,
        "odd name; --\"'": "x",
    },
    {
        "text": None,
        "number": float("inf"),
        "exact": Decimal("-1200.125"),
        "vector": [],
        "mixed": "one",
        "late": 7,
    },
]


def test_parquet_holds_every_kind_of_value(tmp_path: Path) -> None:
    """Types are those of the values; what one row lacks is null, what comes late is a column."""
    path = tmp_path / "t.parquet"
    assert write_table(ROWS, path) == 2
    first, second = rows_of(path)
    expected = ROWS[0] | {
        "aware": ROWS[0]["aware"].astimezone(UTC),
        "exact": Decimal("1.500"),
        "model": {"city": "Bern", "score": 1.0},
        "mixed": "1",
        "span": "86400005000 microseconds",
        "late": None,
    }
    assert list(first) == list(expected)
    assert first == expected
    assert second == dict.fromkeys(expected) | ROWS[1]
    types = table_of(path).types()
    assert types["exact"] == "DECIMAL(38,3)"
    assert types["large"] == "DECIMAL(38,0)"
    assert types["vector"] == "DOUBLE[]"
    assert types["record"] == "STRUCT(a BIGINT, b STRUCT(c VARCHAR)[])"
    assert polars.read_parquet(path)["whole"].to_list() == [2**63 - 1, None]
    assert [one.name for one in tmp_path.iterdir()] == ["t.parquet"]


def test_types_that_were_read_are_written_again(tmp_path: Path) -> None:
    """A Parquet file copied row by row has the types it had, whatever Python makes of them."""
    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    statement = """select 1::tinyint as a, 2::uinteger as b, 1.5::float as c, 'x'::blob as d,
        map {'k': 1::smallint} as e, null::decimal(9, 2) as f, [1::hugeint] as g,
        timestamp_ns '2026-01-01 00:00:00.000000123' as h, {'x': 'y'::blob} as i,
        'b'::enum('a', 'b') as j, '{"a": [1]}'::json as k,
        timestamptz '2026-01-01 00:00:00+02' as l, interval 36 hours as m"""
    with duckdb.connect() as connection:
        connection.execute(f"copy ({statement}) to '{first}' (format parquet)")
    write_table(first, second)
    assert table_of(second).types() == table_of(first).types()
    before, after = list(rows_of(first)), list(rows_of(second))
    assert before == after
    write_table(Query(f"from '{first}' where a > 1"), second)
    assert table_of(second).types() == table_of(first).types()
    assert list(rows_of(second)) == []


def test_a_database_gets_a_table_beside_its_others(tmp_path: Path) -> None:
    """A table that is there stays unless it is to be replaced; the others stay in any case."""
    for name in ("t.duckdb", "t.sqlite"):
        path = tmp_path / name
        write_table([{"a": 1}], path, table="Mine")
        write_table([{"a": 2}, {"a": None, "b": [1, "x"]}], path)
        with pytest.raises(TableError, match="a table 'Answers' already"):
            write_table([{"a": 3}], path, table="Answers")
        with pytest.raises(ZeroDivisionError):
            write_table(({"a": 1 // one} for one in (1, 0)), path, replace=True)
        found = list(rows_of(path, table="answers"))
        assert [row["a"] for row in found] == [2, None]
        assert found[1]["b"] == (["1", "x"] if name == "t.duckdb" else '[1, "x"]')
        write_table([{"a": 4}], path, replace=True)
        assert list(rows_of(path, table="answers")) == [{"a": 4}]
        assert list(rows_of(path, table="Mine")) == [{"a": 1}]
        with pytest.raises(TableError, match="name one"):
            list(rows_of(path))
        assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["a ?#b.sqlite", "a ?#b.duckdb"])
def test_rows_may_come_from_the_database_they_go_to(tmp_path: Path, name: str) -> None:
    """Also while it is open; many more than fit a cache; and a table may take its own place."""
    path = tmp_path / name
    write_table(({"n": n, "text": "x" * 500} for n in range(10_000)), path, table="first")
    connect: Any = sqlite3.connect if name.endswith("sqlite") else duckdb.connect
    with closing(connect(str(path))) as other:
        assert write_table(rows_of(path, table="first"), path, table="second") == 10_000
        copied = table_of(path, table="second")
        assert write_table(copied, path, table="second", replace=True) == 10_000
        told = other.execute("select count(*), sum(n) from second").fetchone()
        assert told == (10_000, sum(range(10_000)))
    assert [row["n"] for row in rows_of(path, table="second")] == list(range(10_000))
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_sqlite_holds_what_it_has_no_kind_for_as_text(tmp_path: Path) -> None:
    """Times, decimals and records are text; numbers, booleans and bytes are what they are."""
    path = tmp_path / "t.db"
    assert write_table(ROWS, path) == 2
    with sqlite3.connect(path) as connection:
        asked = 'select whole, large, exact, yes, naive, bytes, record, "mixed", late from answers'
        found = connection.execute(asked).fetchall()
    connection.close()
    assert found == [
        (
            2**63 - 1,
            str(2**100),
            "1.50",
            1,
            "2026-11-21 01:02:03.000004",
            b"\x00\xff\\x",
            '{"a": 1, "b": [{"c": null}, {"c": "x"}]}',
            1,
            None,
        ),
        (None, None, "-1200.125", None, None, None, None, "one", 7),
    ]


def test_columns_that_a_database_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    """No column is renamed behind one's back; nothing is left of the attempt."""
    for name in ("t.parquet", "t.duckdb"):
        with pytest.raises(TableError, match="'Text' and 'text' differ in case alone"):
            write_table([{"Text": 1, "text": 2}], tmp_path / name)
        with pytest.raises(TableError, match="needs one row"):
            write_table([], tmp_path / name)
    assert [one.name for one in tmp_path.iterdir() if one.suffix != ".duckdb"] == []


def test_ten_thousand_rows_keep_their_order(tmp_path: Path) -> None:
    """Rows come out of every kind of table in the order they went in."""

    def many() -> Iterator[dict[str, Any]]:
        for number in range(10_000):
            yield {"number": number, "text": f"row {number} " + "x" * (number % 50)}

    for name in ("t.parquet", "t.duckdb", "t.sqlite", "t.jsonl.gz"):
        write_table(many(), tmp_path / name)
        assert [row["number"] for row in rows_of(tmp_path / name)] == list(range(10_000))
