"""Answers that are kept between campaigns."""

import stat
from pathlib import Path
from random import Random

import pytest

from batchyard.places.machine import cache_folder
from batchyard.places.remembered import ForgottenError, Remembered

DAY = 86_400.0


def test_answers_are_found_by_their_keys_until_they_are_old(tmp_path: Path) -> None:
    """The newest of a key counts; after 90 days it is asked again."""
    now = 0.0
    kept = Remembered(tmp_path / "cache", lambda: now)
    assert kept.find([b"a"]) == {}
    kept.keep({b"a": b"1", b"b": b"2"})
    now = DAY
    kept.keep({b"a": b"3"})
    assert kept.find([b"a", b"b", b"c"]) == {b"a": b"3", b"b": b"2"}
    now = 90.5 * DAY
    assert kept.find([b"a", b"b"]) == {b"a": b"3"}
    now = 200 * DAY
    kept.keep({})
    now = 0.0
    assert kept.find([b"a", b"b"]) == {}


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    """Over its limit the oldest are let go, and the room is used again."""
    now = 0.0
    kept = Remembered(tmp_path, lambda: now, 200_000)
    for number in range(100):
        now += 1.0
        kept.keep({b"%d-%d" % (number, part): Random(part).randbytes(800) for part in range(10)})
    count, size = kept.size()
    assert (100 < count < 1_000, size < 250_000) == (True, True)
    assert kept.find([b"0-0", b"99-9"]).keys() == {b"99-9"}


def test_all_is_forgotten(tmp_path: Path) -> None:
    """If that is wanted; afterwards it is as at first."""
    kept = Remembered(tmp_path, lambda: 0.0)
    assert kept.size() == (0, 0)
    kept.keep({b"a": b"1", b"b": b"2"})
    assert kept.size()[0] == 2
    kept.forget()
    assert (list(tmp_path.iterdir()), kept.find([b"a"])) == ([], {})
    kept.keep({b"a": b"1"})
    assert kept.find([b"a"]) == {b"a": b"1"}


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """What is in it may be private."""
    Remembered(tmp_path / "cache", lambda: 0.0).keep({b"a": b"1"})
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "cache").iterdir()]
    assert (stat.S_IMODE((tmp_path / "cache").stat().st_mode), modes) == (0o700, [0o600])


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    """Whoever asked can go on without it."""
    (tmp_path / "answers.sqlite").write_bytes(b"no database at all" * 100)
    kept = Remembered(tmp_path, lambda: 0.0)
    with pytest.raises(ForgottenError):
        kept.find([b"a"])
    with pytest.raises(ForgottenError):
        kept.keep({b"a": b"1"})


def test_the_folder_may_be_chosen() -> None:
    """By its own variable, or by that of all caches."""
    assert cache_folder({"BATCHYARD_CACHE": "/a"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/batchyard")
    assert cache_folder({}) == Path.home() / ".cache/batchyard"
