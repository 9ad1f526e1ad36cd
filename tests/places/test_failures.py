"""Causes of failed lines, as the store keeps them."""

from pathlib import Path

from sqlalchemy import insert

from batchyard.places.store import Records, open_store
from batchyard.places.store.failures import add_failures
from batchyard.places.store.schema import batches
from batchyard.wire.objects import FailureCount


def test_counts_grow_and_their_number_is_bounded(tmp_path: Path) -> None:
    """A cause keeps its first line; beyond fifty causes all others are one."""
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    row = {
        column.name: column.type.python_type()
        for column in batches.columns
        if not column.nullable and column.name != "sequence"
    }
    with store.writing() as connection:
        connection.execute(insert(batches).values(row | {"id": "batch_1"}))
        for line in range(1, 61):
            cause = FailureCount(code=f"e{line}", status=500, count=1, line=line, message="first")
            add_failures(connection, "batch_1", [cause])
        again = FailureCount(code="e7", status=500, count=9, line=99, message="later")
        silent = FailureCount(code="e7", count=1, line=100)
        add_failures(connection, "batch_1", [again, silent])
    found = Records(store).failures(["batch_1", "batch_2"])
    store.close()
    assert found["batch_2"] == ()
    assert [(one.code, one.status, one.count, one.line) for one in found["batch_1"][:2]] == [
        ("other", None, 11, 51),
        ("e7", 500, 10, 7),
    ]
    assert found["batch_1"][1].message == "first"
    assert len(found["batch_1"]) == 51
