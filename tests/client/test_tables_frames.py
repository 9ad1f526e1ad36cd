"""Frames of libraries that are too heavy for every run; `pip install pandas pyarrow datasets`."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from batchyard.client.tables import TableError, add_answers, rows_of

ROWS: list[dict[str, Any]] = [
    {"id": "007", "text": "a", "n": 1, "day": datetime(2026, 1, 1), "tags": ["x", "y"]},
    {"id": "b", "text": None, "n": None, "day": None, "tags": []},
    {"id": "c", "text": "z", "n": 3, "day": datetime(2026, 1, 2), "tags": None},
]
OWN = list(ROWS[0])
ADDED = ["answer", "outcome", "error", "input_tokens", "output_tokens", "cost_usd"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The results of a campaign that asked the rows; the second one expired."""
    path = tmp_path / "results.jsonl"
    with path.open("w") as out:
        for number in (1, 2, 3):
            usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
            body = {"choices": [{"message": {"content": f"a{number}"}}], "usage": usage}
            told = {"line": number, "custom_id": str(number), "outcome": "succeeded"}
            response: Any = {"status_code": 200, "body": body}
            if number == 2:
                told["outcome"], response = "expired", None
            out.write(json.dumps({**told, "response": response}) + "\n")
    return path


def test_frames_of_pandas(results: Path) -> None:
    """Rows have None for whatever is missing; the frame keeps its types, index and order."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, index=[9, 4, 4])
    for one in (frame, frame.convert_dtypes(), frame.set_index("id")):
        assert list(rows_of(one)) == ROWS
        found = add_answers(one, results)
        assert list(found.columns) == [*one.columns, *ADDED]
        assert found[list(one.columns)].equals(one)
        assert found["answer"].tolist()[::2] == ["a1", "a3"]
        assert str(found["input_tokens"].dtype) == "Int64"
        assert str(found["cost_usd"].dtype) == "float64"


def test_tables_of_arrow(results: Path) -> None:
    """Tables, batches, readers and data sets give rows; tables have columns added."""
    arrow = pytest.importorskip("pyarrow")
    table = arrow.Table.from_pylist(ROWS)
    for one in (table, table.to_batches()[0], table.to_reader()):
        assert list(rows_of(one)) == ROWS
    found = add_answers(table, results)
    assert found.column_names == [*OWN, *ADDED]
    assert found.select(OWN).equals(table)
    assert found.schema.field("output_tokens").type == arrow.int64()
    assert found.schema.field("cost_usd").type == arrow.float64()
    with pytest.raises(TableError, match="stream"):
        add_answers(table.to_reader(), results)


def test_datasets_of_hugging_face(results: Path) -> None:
    """Datasets, in any format or streamed, give rows; those in memory have columns added."""
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_list(ROWS)
    for one in (dataset, dataset.with_format("arrow"), dataset.to_iterable_dataset()):
        assert list(rows_of(one)) == ROWS
    found = add_answers(dataset, results)
    assert found.column_names == [*OWN, *ADDED]
    assert found["answer"][:] == ["a1", None, "a3"]
    with pytest.raises(TableError, match="stream"):
        add_answers(dataset.to_iterable_dataset(), results)
    with pytest.raises(TableError, match="splits train"):
        rows_of(datasets.DatasetDict(train=dataset)).__next__()
