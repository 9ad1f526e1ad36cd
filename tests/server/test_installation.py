"""A data folder whose database is not the one that its blobs were named in."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from batchyard.places.blobs import Blobs
from batchyard.places.folder import DataFolder
from batchyard.places.store import Records, open_store
from batchyard.places.store.rows import FileRow, Part
from batchyard.server.installation import Installation, MismatchError, check_database


def store_file(records: Records, blobs: Blobs, name: str) -> None:
    """Store a file, as an upload does."""
    writing = blobs.create(f"inputs/{name}")
    writing.write(b"x")
    row = FileRow(
        id=name,
        project_id="p",
        purpose="batch",
        filename=name,
        size_bytes=1,
        sha256=writing.commit(),
        created_at=1,
        parts=(Part(f"inputs/{name}", 1),),
    )
    records.add_file(row)


@contextmanager
def served(path: Path, *, accept: bool = False) -> Iterator[tuple[Records, Blobs]]:
    """A server's life on a data folder: it starts, stores, notes what it did, and ends."""
    folder = DataFolder(path)
    folder.make()
    if not accept:
        check_database(folder)
    with closing(open_store(folder.database_url)) as store:
        installation = Installation(folder, store)
        installation.settle(random.Random(str(path)), accept=accept)
        yield Records(store), Blobs(folder.blobs)
        installation.note()


def is_known(path: Path, name: str) -> bool:
    """Whether the database of a folder knows a file."""
    with served(path) as (records, _):
        return records.file("p", name, 2) is not None


def blobs_of(path: Path) -> set[str]:
    """All blobs in a data folder."""
    return set(Blobs(path / "blobs").names())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A data folder with two files, and beside it a backup of its database from before the second.

    What has come since the backup is in the write-ahead log alone, as with a server that runs.
    """
    with served(tmp_path / "data") as (records, blobs):
        store_file(records, blobs, "first")
    shutil.copytree(tmp_path / "data", tmp_path / "backup")
    with served(tmp_path / "data") as (records, blobs):
        store_file(records, blobs, "second")
        Installation(DataFolder(tmp_path / "data"), records._store).note()
        shutil.copytree(tmp_path / "data", tmp_path / "running")
    assert (tmp_path / "running" / "batchyard.sqlite-wal").stat().st_size
    return tmp_path / "running"


def lose(place: Path) -> None:
    """The database is gone, as on a wrong mount."""
    for path in place.glob("batchyard.sqlite*"):
        path.unlink()


def cut(place: Path) -> None:
    """The database was cut to nothing."""
    lose(place)
    (place / "batchyard.sqlite").touch()


def restore(place: Path) -> None:
    """The database is an older copy."""
    lose(place)
    shutil.copy(place.parent / "backup" / "batchyard.sqlite", place)


def lose_wal(place: Path) -> None:
    """The database was copied without its write-ahead log."""
    (place / "batchyard.sqlite-wal").unlink()
    (place / "batchyard.sqlite-shm").unlink()


def exchange(place: Path) -> None:
    """The database is that of another installation."""
    lose(place)
    with served(place.parent / "other") as (records, blobs):
        for number in range(5):
            store_file(records, blobs, f"other{number}")
    shutil.copy(place.parent / "other" / "batchyard.sqlite", place)


def found_anew(place: Path) -> None:
    """Somebody has made a new database where the old one was."""
    lose(place)
    open_store(DataFolder(place).database_url).close()


def unmount(place: Path) -> None:
    """The folder of blobs is an empty one."""
    shutil.rmtree(place / "blobs")


MISFORTUNES = (lose, cut, restore, lose_wal, exchange, found_anew, unmount)


@pytest.mark.parametrize("misfortune", MISFORTUNES)
def test_what_does_not_belong_together_is_refused(
    misfortune: Callable[[Path], None], place: Path, tmp_path: Path
) -> None:
    """Nothing is changed; with the newest database put back, all is there again."""
    newest = shutil.copytree(place, tmp_path / "newest")
    blobs = blobs_of(place)
    misfortune(place)
    with pytest.raises(MismatchError, match="--accept-database"), served(place):
        raise AssertionError("it was served")
    if misfortune is not unmount:
        assert blobs_of(place) == blobs
    shutil.rmtree(place)
    newest.rename(place)
    assert is_known(place, "second")
    assert blobs_of(place) == blobs == {"inputs/first", "inputs/second"}


@pytest.mark.parametrize("misfortune", MISFORTUNES)
def test_what_is_accepted_once_is_served(misfortune: Callable[[Path], None], place: Path) -> None:
    """Whoever knows better goes on; no blob is deleted, and no later start asks again."""
    blobs = blobs_of(place)
    misfortune(place)
    with served(place, accept=True) as (records, there):
        store_file(records, there, "third")
    assert is_known(place, "third")
    assert blobs_of(place) >= (blobs if misfortune is not unmount else set())


def test_a_copy_of_all_belongs_together(place: Path, tmp_path: Path) -> None:
    """A data folder may be moved and copied as a whole."""
    shutil.copytree(place, tmp_path / "copy")
    assert is_known(tmp_path / "copy", "second")


def test_a_folder_from_before_there_were_marks_gets_them(place: Path) -> None:
    """An upgrade asks nothing."""
    (place / "installation").unlink()
    (place / "blobs" / "installation").unlink()
    with closing(open_store(DataFolder(place).database_url)) as store, store.writing() as rows:
        rows.exec_driver_sql("DELETE FROM installation")
    assert is_known(place, "second")
    assert (place / "blobs" / "installation").exists()
