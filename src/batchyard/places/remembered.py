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
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

__all__ = ["AT_ONCE", "ForgottenError", "Remembered", "cache_folder"]

# So many keys may be looked up at once.
AT_ONCE = 500
_KEEP_SECONDS = 90 * 86_400.0
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

    Several processes may use it at once. It is its owner's alone: answers may be private.
    """

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self._path, self._now = folder / "answers.sqlite", now

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


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where answers are kept: BATCHYARD_CACHE, else the user's folder for caches."""
    if chosen := environment.get("BATCHYARD_CACHE"):
        return Path(chosen)
    if base := environment.get("XDG_CACHE_HOME"):
        return Path(base) / "batchyard"
    return Path.home() / ".cache" / "batchyard"
