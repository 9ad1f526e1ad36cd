"""Answers of earlier requests, kept in one SQLite file so that the same is not asked again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from zlib import compress, decompress
from zlib import error as ZlibError

from sqlalchemy import (
    Column,
    Connection,
    Float,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    delete,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

__all__ = ["AT_ONCE", "ForgottenError", "Remembered"]

# So many keys may be looked up at once.
AT_ONCE = 500
_KEEP_SECONDS = 90 * 86_400.0
_BYTES_MAX = 1 << 30
# Once it is full so much of it is let go, so that this is not done each time.
_LET_GO = 0.1
_WAIT_SECONDS = 30

_metadata = MetaData()
_answers = Table(
    "answers",
    _metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("response", LargeBinary, nullable=False),
    Column("answered_at", Float, nullable=False, index=True),
)


class ForgottenError(Exception):
    """The file cannot be read or written; whoever asked can do without it."""


class Remembered:
    """Answers by the hash of what was asked; those older than 90 days are let go.

    Of more than a gigabyte the oldest are. Several processes may use it at once. It is its
    owner's alone: answers may be private.
    """

    def __init__(self, folder: Path, now: Callable[[], float], bytes_max: int = _BYTES_MAX) -> None:
        self._path, self._now, self._most = folder / "answers.sqlite", now, bytes_max

    @property
    def path(self) -> Path:
        """Where they are kept."""
        return self._path

    def size(self) -> tuple[int, int]:
        """How many answers there are, and how many bytes they take."""
        if not self._path.exists():
            return 0, 0
        with self._open() as connection:
            count = connection.execute(select(func.count()).select_from(_answers)).scalar_one()
        return count, self._path.stat().st_size

    def forget(self) -> None:
        """Let go of all; one who uses it at this moment finds or keeps nothing."""
        for end in ("", "-journal"):
            self._path.with_name(self._path.name + end).unlink(missing_ok=True)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The answers to some of the keys."""
        if not self._path.exists():
            return {}
        fresh = _answers.c.answered_at > self._now() - _KEEP_SECONDS
        wanted = select(_answers.c.key, _answers.c.response).where(_answers.c.key.in_(keys), fresh)
        with self._open() as connection:
            try:
                return {key: decompress(kept) for key, kept in connection.execute(wanted)}
            except ZlibError as fault:
                raise ForgottenError(f"{self._path} is damaged: {fault}") from fault

    def keep(self, answers: Mapping[bytes, bytes]) -> None:
        """Keep answers; the newest of a key counts."""
        now = self._now()
        rows = [
            {"key": key, "response": compress(response, 1), "answered_at": now}
            for key, response in answers.items()
        ]
        put = insert(_answers)
        put = put.on_conflict_do_update(
            index_elements=[_answers.c.key],
            set_={"response": put.excluded.response, "answered_at": put.excluded.answered_at},
        )
        with self._open() as connection:
            connection.execute(delete(_answers).where(_answers.c.answered_at < now - _KEEP_SECONDS))
            if rows:
                connection.execute(put, rows)
            self._make_room(connection)

    def _make_room(self, connection: Connection) -> None:
        """Let go of the oldest where all take more room than they may."""

        def told(name: str) -> int:
            return int(connection.exec_driver_sql(f"pragma {name}").scalar_one())

        # What was let go leaves free pages, which are written again.
        used = (told("page_count") - told("freelist_count")) * told("page_size")
        if used <= self._most:
            return
        count = connection.execute(select(func.count()).select_from(_answers)).scalar_one()
        surplus = count - int(count * self._most / used * (1 - _LET_GO))
        oldest = select(_answers.c.key).order_by(_answers.c.answered_at).limit(surplus)
        connection.execute(delete(_answers).where(_answers.c.key.in_(oldest)))

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            engine = create_engine(
                f"sqlite:///{self._path}",
                poolclass=NullPool,
                hide_parameters=True,
                connect_args={"timeout": _WAIT_SECONDS},
            )
            with engine.begin() as connection:
                _metadata.create_all(connection)
                yield connection
        except (OSError, DBAPIError) as fault:
            reason = getattr(fault, "orig", None) or fault
            raise ForgottenError(f"{self._path}: {reason}") from fault
