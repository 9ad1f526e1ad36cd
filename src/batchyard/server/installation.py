"""A data folder whose database and blobs belong together, which is looked at before any sweep."""

from random import Random

from batchyard.places.folder import DataFolder
from batchyard.places.store import Store
from batchyard.places.store.installation import InstallationRow
from batchyard.places.worker_locks import WorkerLocks
from batchyard.rules.installation import objection
from batchyard.wire.ids import hex32

__all__ = ["Installation", "MismatchError", "check_database"]


class MismatchError(Exception):
    """The database and the blobs of a data folder do not belong together; it says what to do."""

    def __init__(self, folder: DataFolder, why: str) -> None:
        super().__init__(
            f"In {folder.path}, {why}. Nothing was changed. Put back what belongs together (the "
            f"newest {folder.database.name} with its -wal file, or the blobs), or go on with what "
            "is there by `batchyard serve --accept-database`, which deletes nothing."
        )


def check_database(folder: DataFolder) -> None:
    """Raise MismatchError where a new database would be made beside blobs of an older one."""
    if folder.lacks_database:
        raise MismatchError(folder, f"there are blobs, but {folder.database.name} is not there")


class Installation:
    """Which installation a data folder is, and who works in it."""

    def __init__(self, folder: DataFolder, store: Store) -> None:
        self._folder, self._row = folder, InstallationRow(store)
        self._locks = WorkerLocks(folder.workers)

    def objection(self) -> str | None:
        """Why database and blobs do not belong together; raises OSError or a database error."""
        beside_database, beside_blobs = self._folder.marks()
        return objection(
            self._row.mark(),
            beside_database=beside_database,
            beside_blobs=beside_blobs,
            names_blobs=self._row.names_blobs(),
            has_blobs=self._folder.has_blobs,
        )

    def settle(self, chance: Random, *, accept: bool = False) -> None:
        """Have the same mark stand in the database, beside it and beside the blobs.

        Raises MismatchError, and changes nothing, where they do not belong together, unless that
        is accepted: then the database is raised above all marks.
        """
        if why := self.objection():
            if not accept:
                raise MismatchError(self._folder, why)
            generation = 1 + max((mark[1] for mark in self._folder.marks() if mark), default=0)
        else:
            generation = 0
        self._folder.set_marks(self._row.enter(hex32(chance), generation))

    def note(self) -> None:
        """Note beside database and blobs how far the database has come."""
        mark = self._row.mark()
        if mark is not None:
            self._folder.set_marks(mark)

    def living_workers(self) -> frozenset[str]:
        """The names of the worker processes that live, of whichever server."""
        return frozenset(holder.worker for holder in self._locks.living())
