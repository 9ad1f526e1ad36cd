"""Data frames that a caller hands over, known by their looks: nothing is imported."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from batchyard.client.tables.errors import TableError

__all__ = ["adder_of", "library_of", "reader_of", "reads_again"]

_SLICE_ROWS = 1_000

Row = dict[str, Any]
Values = dict[str, list[Any]]
Reader = Callable[[Any], Iterator[Row]]
# What the columns are, as far as it is known, by DuckDB's names.
Types = dict[str, str]
Adder = Callable[[Any, Values, Types], Any]


def library_of(source: Any) -> str:
    """The library that a value's type comes from."""
    for one in type(source).__mro__:
        name = one.__module__.split(".")[0].removeprefix("_")
        if name in _READERS:
            return name
    return ""


def reader_of(source: Any) -> Reader | None:
    """What reads the rows of a frame; None where it is none that is known."""
    reader = _READERS.get(library_of(source))
    return reader or (_stream_rows if hasattr(source, "__arrow_c_stream__") else None)


def adder_of(source: Any) -> Adder | None:
    """What adds columns to a frame, and leaves its own as they are; None where nothing does."""
    library = library_of(source)
    is_streamed = library == "datasets" and not hasattr(source, "num_rows")
    if is_streamed or not reads_again(source):
        raise TableError(f"A {type(source).__name__} is a stream: write its rows to a file.")
    return _ADDERS.get(library)


def reads_again(source: Any) -> bool:
    """Whether rows can be read more than once; readers of Arrow's are read off."""
    return not hasattr(source, "read_next_batch")


def _pandas_rows(frame: Any) -> Iterator[Row]:
    """Named levels of the index are columns; what is missing is None, whatever stood for it."""
    if not hasattr(frame, "columns"):
        frame = frame.to_frame(frame.name or "text")
    named = [name for name in frame.index.names if name is not None]
    for start in range(0, len(frame), _SLICE_ROWS):
        part = frame.iloc[start : start + _SLICE_ROWS]
        if named:
            part = part.reset_index(level=named)
        part = part.astype(object).where(part.notna(), None)
        names = _names(part.columns)
        for values in part.itertuples(index=False, name=None):
            yield dict(zip(names, values, strict=True))


def _polars_rows(frame: Any) -> Iterator[Row]:
    if hasattr(frame, "collect_batches"):
        for part in frame.collect_batches(chunk_size=_SLICE_ROWS, maintain_order=True):
            yield from part.to_dicts()
        return
    if hasattr(frame, "collect"):
        frame = frame.collect()
    if not hasattr(frame, "iter_slices"):
        frame = frame.to_frame(frame.name or "text")
    for part in frame.iter_slices(_SLICE_ROWS):
        yield from part.to_dicts()


def _arrow_rows(table: Any) -> Iterator[Row]:
    """Of a table, a batch, a data set, a reader, or whatever gives batches."""
    if hasattr(table, "to_batches"):
        table = table.to_batches()
    elif hasattr(table, "to_pylist") and hasattr(table, "schema"):
        table = [table]
    for batch in table:
        for start in range(0, batch.num_rows, _SLICE_ROWS):
            yield from batch.slice(start, _SLICE_ROWS).to_pylist()


def _dataset_rows(dataset: Any) -> Iterator[Row]:
    if isinstance(dataset, dict):
        raise TableError(f"These are the splits {', '.join(dataset)}: choose one.")
    dataset = dataset.with_format(None)
    for part in dataset.iter(batch_size=_SLICE_ROWS):
        names = _names(part)
        for values in zip(*part.values(), strict=True):
            yield dict(zip(names, values, strict=True))


def _duckdb_rows(relation: Any) -> Iterator[Row]:
    names = _names(relation.columns)
    if hasattr(relation, "iter_rows"):
        many = relation.iter_rows()
    else:
        # Before DuckDB 2 a relation gives its rows once, unless it is asked anew.
        many = iter(relation.execute().fetchone, None)
    for values in many:
        yield dict(zip(names, values, strict=True))


def _stream_rows(source: Any) -> Iterator[Row]:
    """Of whatever else speaks Arrow's C stream interface, by the library that is at hand."""
    if (arrow := sys.modules.get("pyarrow")) is not None:
        yield from _arrow_rows(arrow.RecordBatchReader.from_stream(source))
    elif (polars := sys.modules.get("polars")) is not None:
        yield from _polars_rows(polars.DataFrame(source))
    else:
        name = type(source).__name__
        raise TableError(f"A {name} is read by pyarrow or polars: import one of them before.")


def _names(columns: Any) -> list[str]:
    names = [str(one) for one in columns]
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise TableError(f"The frame has the column '{twice}' more than once.")
    return names


def _add_to_pandas(frame: Any, columns: Values, types: Types) -> Any:
    pandas = sys.modules["pandas"]
    known = {"BIGINT": "Int64", "DOUBLE": "float64"}
    if not hasattr(frame, "columns"):
        frame = frame.to_frame(frame.name or "text")
    added = {
        name: pandas.array(values, dtype=known[types[name]]) if types.get(name) in known else values
        for name, values in columns.items()
    }
    return frame.assign(**added)


def _add_to_polars(frame: Any, columns: Values, types: Types) -> Any:
    polars = sys.modules["polars"]
    known = {"BIGINT": polars.Int64, "DOUBLE": polars.Float64, "VARCHAR": polars.String}
    is_lazy = hasattr(frame, "collect")
    if is_lazy:
        frame = frame.collect()
    elif not hasattr(frame, "with_columns"):
        frame = frame.to_frame(frame.name or "text")
    frame = frame.with_columns(
        polars.Series(name, values, dtype=known.get(types.get(name, "")), strict=False)
        for name, values in columns.items()
    )
    return frame.lazy() if is_lazy else frame


def _add_to_arrow(table: Any, columns: Values, types: Types) -> Any:
    """A table, whatever it was before."""
    arrow = sys.modules["pyarrow"]
    known = {"BIGINT": arrow.int64(), "DOUBLE": arrow.float64(), "VARCHAR": arrow.string()}
    if hasattr(table, "to_table"):
        table = table.to_table()
    elif not hasattr(table, "append_column"):
        table = arrow.Table.from_batches(table.to_batches())
    for name, values in columns.items():
        table = table.append_column(name, arrow.array(values, known.get(types.get(name, ""))))
    return table


def _add_to_dataset(dataset: Any, columns: Values, types: Types) -> Any:
    value = sys.modules["datasets"].Value
    known = {"BIGINT": "int64", "DOUBLE": "float64", "VARCHAR": "string"}
    for name, values in columns.items():
        kind = known.get(types.get(name, ""))
        dataset = dataset.add_column(name, values, feature=value(kind) if kind else None)
    return dataset


_ADDERS: dict[str, Adder] = {
    "pandas": _add_to_pandas,
    "polars": _add_to_polars,
    "pyarrow": _add_to_arrow,
    "datasets": _add_to_dataset,
}
_READERS: dict[str, Reader] = {
    "pandas": _pandas_rows,
    "polars": _polars_rows,
    "pyarrow": _arrow_rows,
    "datasets": _dataset_rows,
    "duckdb": _duckdb_rows,
}
