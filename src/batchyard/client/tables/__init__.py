"""Tables in and out: rows of whatever holds them, one at a time, and back to what keeps them."""

from batchyard.client.tables.errors import MissingExtraError, TableError
from batchyard.client.tables.joining import add_answers, join
from batchyard.client.tables.saving import write_table
from batchyard.client.tables.sources import Query, Table, rows_of, table_of

__all__ = [
    "MissingExtraError",
    "Query",
    "Table",
    "TableError",
    "add_answers",
    "join",
    "rows_of",
    "table_of",
    "write_table",
]
