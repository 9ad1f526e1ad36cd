"""How many lines of a batch failed for which cause; written with the results themselves."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    String,
    bindparam,
    func,
    insert,
    select,
    update,
)

from batchyard.places.store.opening import Store
from batchyard.places.store.schema import failures
from batchyard.wire.objects import FailureCount

__all__ = ["FailureRows", "add_failures"]

# Causes kept of a batch; what is beyond is counted as one.
_CAUSES_MAX = 50
_OTHER = "other"
# In the place of the status of a line that got no answer: a key has no null.
_NO_STATUS = 0


def add_failures(connection: Connection, batch_id: str, counted: Iterable[FailureCount]) -> None:
    """Add the failed lines of one commit group; the first recorded line of a cause stays."""
    for failure in counted:
        if not _raise_count(connection, batch_id, failure):
            kept = connection.execute(_HOW_MANY, {"the_batch": batch_id}).scalar_one()
            if kept >= _CAUSES_MAX:
                failure = msgspec.structs.replace(failure, code=_OTHER, status=None)
            if kept < _CAUSES_MAX or not _raise_count(connection, batch_id, failure):
                row = msgspec.structs.asdict(failure) | {"batch_id": batch_id}
                connection.execute(_FIRST, row | {"status": failure.status or _NO_STATUS})


def _raise_count(connection: Connection, batch_id: str, failure: FailureCount) -> bool:
    return bool(
        connection.execute(
            _MORE,
            {
                "the_batch": batch_id,
                "the_code": failure.code,
                "the_status": failure.status or _NO_STATUS,
                "more": failure.count,
            },
        ).rowcount
    )


class FailureRows:
    """Why lines of batches failed."""

    _store: Store

    def failures(self, batch_ids: Sequence[str]) -> dict[str, tuple[FailureCount, ...]]:
        """The causes of the failed lines of batches, the most frequent first."""
        found: dict[str, list[FailureCount]] = {}
        with self._store.reading() as connection:
            for row in connection.execute(_OF_BATCHES, {"ids": list(batch_ids)}).mappings():
                cause = {name: row[name] for name in FailureCount.__struct_fields__}
                found.setdefault(row["batch_id"], []).append(
                    FailureCount(**cause | {"status": row["status"] or None})
                )
        return {id: tuple(found.get(id, ())) for id in batch_ids}


_FIRST = insert(failures)
_MORE = (
    update(failures)
    .where(failures.c.batch_id == bindparam("the_batch", type_=String))
    .where(failures.c.code == bindparam("the_code", type_=String))
    .where(failures.c.status == bindparam("the_status", type_=Integer))
    .values(count=failures.c.count + bindparam("more", type_=BigInteger))
)
_HOW_MANY = select(func.count()).where(failures.c.batch_id == bindparam("the_batch", type_=String))
_OF_BATCHES = (
    select(failures)
    .where(failures.c.batch_id.in_(bindparam("ids", expanding=True)))
    .order_by(failures.c.batch_id, failures.c["count"].desc(), failures.c.line)
)
