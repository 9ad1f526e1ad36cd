"""Files written whole or not at all."""

import os
from pathlib import Path

import pytest

from batchyard.places.whole import publish, replaced


def test_a_file_is_replaced_when_all_of_it_is_written(tmp_path: Path) -> None:
    """Until then what was there stays; what fails leaves nothing beside it."""
    path = tmp_path / "new" / "out.txt"
    with replaced(path) as beside:
        beside.write_bytes(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    with pytest.raises(ZeroDivisionError), replaced(path) as beside:
        beside.write_bytes(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"one"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_there_survives_the_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced before it has its name, and its folder after."""
    synced: list[str] = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    with replaced(tmp_path / "out.txt") as beside:
        beside.write_bytes(b"one")
    publish(tmp_path / "other.txt", b"two")
    assert synced == [str(beside), str(tmp_path), str(tmp_path / "other.txt.part"), str(tmp_path)]
