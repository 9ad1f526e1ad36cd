"""Rows of whatever holds rows, and back to files."""

import gzip
import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import polars
import pytest

from batchyard.client.tables import Query, TableError, rows_of, table_of, write_table

ROWS: list[dict[str, Any]] = [
    {"id": "007", "text": 'He said "fine",\nand left; ok', "stars": 5},
    {"id": "b", "text": "Größe 木 🚀", "stars": None},
    {"id": "c", "text": "", "stars": 1},
]
TEXTS = [{**row, "stars": "" if row["stars"] is None else str(row["stars"])} for row in ROWS]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "deep/t.CSV"])
def test_csv_keeps_every_value_as_the_text_that_stands_there(tmp_path: Path, name: str) -> None:
    """Quotes, line breaks and leading zeros survive; numbers are read as text."""
    assert write_table(ROWS, tmp_path / name) == 3
    assert list(rows_of(tmp_path / name)) == TEXTS


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson.gz"])
def test_jsonl_keeps_values(tmp_path: Path, name: str) -> None:
    """What JSON can say comes back the same."""
    rows = [*ROWS, {"id": "d", "tags": ["x", {"y": 1.5}], "ok": True}]
    assert write_table(rows, tmp_path / name) == 4
    assert list(rows_of(tmp_path / name)) == rows


def test_a_file_that_cannot_be_finished_leaves_the_one_before(tmp_path: Path) -> None:
    """Rows that fail half way replace nothing, and leave nothing beside it."""

    def broken() -> Iterator[dict[str, Any]]:
        yield ROWS[1]
        raise OSError("gone")

    path = tmp_path / "t.csv"
    write_table(ROWS, path)
    with pytest.raises(OSError, match="gone"):
        write_table(broken(), path)
    assert list(rows_of(path)) == TEXTS
    assert [one.name for one in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_columns_that_come_late_are_not_lost(tmp_path: Path, name: str) -> None:
    """A head is as wide as the widest row, whenever that comes."""
    rows: list[dict[str, Any]] = [{"a": "1"}, {"b": "2", "a": "3"}, {"c": "4"}]
    write_table(rows, tmp_path / name)
    assert list(rows_of(tmp_path / name)) == [
        {"a": "1", "b": "", "c": ""},
        {"a": "3", "b": "2", "c": ""},
        {"a": "", "b": "", "c": "4"},
    ]
    with pytest.raises(TableError, match="'b' is not in the first row"):
        write_table(rows, io.BytesIO(), kind="csv")


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    """A byte order mark, semicolons, blank and short lines, and long fields are no trouble."""
    long = "x" * 200_000
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfid;text\r\n1;a,b\r\n\r\n2;" + long.encode() + b"\r\n3\r\n")
    assert list(rows_of(path)) == [
        {"id": "1", "text": "a,b"},
        {"id": "2", "text": long},
        {"id": "3", "text": None},
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "line 3: 3 values for 2 columns"),
        ("t.csv", b"a,a\n1,2\n", "column 'a' more than once"),
        ("t.csv", b'a,b\n1,"2\n', "line 2: unexpected end of data"),
        ("t.csv", "a\nGröße\n".encode("latin-1"), "not UTF-8"),
        ("t.jsonl", b'{"a":1}\n\n{"a":\n', "line 3 is not JSON"),
        ("t.jsonl", b'{"a":1}\n7\n', "line 2 is neither an object nor a text"),
        ("t.json", b'{"a":1}', "not an array"),
        ("t.xlsx", b"", "none of the suffixes"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    """No row is guessed: what is wrong is told with the file and the line."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=told) as failed:
        list(rows_of(tmp_path / name))
    assert name in str(failed.value)


def test_a_file_that_is_not_there_is_told() -> None:
    """Neither a missing file nor a text alone is a table."""
    with pytest.raises(TableError, match="There is no file missing\\.csv"):
        rows_of("missing.csv")


def test_streams_are_read_by_what_they_begin_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects on stdin are JSONL, anything else is CSV; `kind` says otherwise."""
    lines = io.BytesIO(b'\n {"a": 1}\n{"a": 2}')
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=lines))
    assert list(rows_of("-")) == [{"a": 1}, {"a": 2}]
    assert list(rows_of(io.BytesIO(b"a,b\n1,2\n"))) == [{"a": "1", "b": "2"}]
    assert list(rows_of(io.BytesIO(b"one\ntwo\n"), kind="text")) == [
        {"text": "one"},
        {"text": "two"},
    ]
    assert list(rows_of(io.BytesIO(b""))) == []


def test_iterables_are_tables_and_say_whether_they_can_be_read_again() -> None:
    """Lists of rows, records or texts can be read twice, a generator once."""
    assert list(rows_of(["x"])) == [{"text": "x"}]
    assert list(rows_of(SimpleNamespace(_asdict=lambda: {"a": 1}) for _ in range(2))) == [
        {"a": 1},
        {"a": 1},
    ]
    assert table_of(ROWS).again
    assert not table_of(iter(ROWS)).again
    with pytest.raises(TableError, match="mapping is one row"):
        rows_of({"train": []})


def test_frames_are_read_in_slices(tmp_path: Path) -> None:
    """Frames and lazy frames of polars, and relations of DuckDB, give rows in order."""
    frame = polars.DataFrame(ROWS)
    assert list(rows_of(frame)) == ROWS
    assert list(rows_of(frame.lazy())) == ROWS
    capsule = SimpleNamespace(__arrow_c_stream__=frame.__arrow_c_stream__)
    assert list(rows_of(capsule)) == ROWS
    assert list(rows_of(frame["id"])) == [{"id": row["id"]} for row in ROWS]
    write_table(frame, tmp_path / "t.jsonl")
    with duckdb.connect() as connection:
        assert list(rows_of(connection.read_json(str(tmp_path / "t.jsonl")))) == ROWS


def test_parquet_and_statements_are_read_by_duckdb(tmp_path: Path) -> None:
    """Parquet files, patterns of them, tables and statements over files give rows in order."""
    polars.DataFrame(ROWS).write_parquet(tmp_path / "a.parquet")
    polars.DataFrame(ROWS).write_parquet(tmp_path / "b.parquet")
    assert list(rows_of(tmp_path / "a.parquet")) == ROWS
    assert list(rows_of(str(tmp_path / "*.parquet"))) == ROWS + ROWS
    with duckdb.connect(tmp_path / "t.db") as connection:
        connection.execute(
            "create table reviews as from read_parquet(?)", [f"{tmp_path}/a.parquet"]
        )
    assert list(rows_of(tmp_path / "t.db")) == ROWS
    starred = Query(
        "select id from reviews where stars > $stars", f"duckdb:///{tmp_path}/t.db", {"stars": 2}
    )
    assert list(rows_of(starred)) == [{"id": "007"}]
    over = Query(f"select count(*) as n from '{tmp_path}/*.parquet'")
    assert list(rows_of(over)) == [{"n": 6}]
    assert table_of(over).types() == {"n": "BIGINT"}


def test_databases_are_read_by_sqlalchemy(tmp_path: Path) -> None:
    """A statement over any URL, a table of it, or a file of SQLite's with one table."""
    path = tmp_path / "t.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table reviews (id text, text text, stars integer)")
        connection.executemany("insert into reviews values (:id, :text, :stars)", ROWS)
    connection.close()
    assert list(rows_of(path)) == ROWS
    assert list(rows_of(f"sqlite:///{path}", table="reviews")) == ROWS
    asked = Query("select id from reviews where stars = :stars", f"sqlite:///{path}", {"stars": 5})
    assert list(rows_of(asked)) == [{"id": "007"}]


def test_a_packed_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    """Compression is seen in the file, whatever it is called."""
    path = tmp_path / "t.csv"
    path.write_bytes(gzip.compress(b"a\n1\n"))
    assert list(rows_of(path)) == [{"a": "1"}]
