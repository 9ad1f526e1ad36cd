"""The log of commits at a URL: one owner at a time, and nothing that is written late counts."""

import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from batchyard.places import commits, objects
from batchyard.places.commits import Commits, Kept, LateError, OwnedError
from batchyard.places.objects import Objects, StoreError
from tests.client.bucket import Bucket


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    one = Bucket()
    for name, value in one.environment.items():
        monkeypatch.setenv(name, value)
    quick = {"max_retries": 1, "backoff": {"init_backoff": timedelta(milliseconds=1)}}
    monkeypatch.setattr(objects, "_RETRIES", quick)
    yield one
    one.close()


@pytest.fixture(params=["bucket", "disk"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place in a bucket, and one on a disk."""
    if request.param == "bucket":
        request.getfixturevalue("bucket")
        return "s3://b/one"
    return f"file://{tmp_path}/one"


def log_at(url: str, desk: str = "here") -> Commits:
    return Commits(Objects(url), desk, pause=lambda _: None)


def begun(url: str, desk: str = "here") -> Commits:
    log = log_at(url, desk)
    assert log.begin([], {})
    return log


def step(number: int) -> bytes:
    return b'{"did":%d}' % number


def test_what_was_written_is_read_by_others(url: str) -> None:
    """In order, with the files that the commits name."""
    log = begun(url)
    log.take()
    log.write(step(1), {"a": Kept("a.1", 3)})
    log.write(step(2), {"a": Kept("a.2", 4)})
    other = log_at(url)
    other.read_on()
    assert (other.steps, other.files) == ([step(1), step(2)], {"a": Kept("a.2", 4)})
    log.write(step(3), {})
    other.read_on()
    assert other.steps == [step(1), step(2), step(3)]


def test_a_long_log_is_read_from_its_last_whole(url: str, monkeypatch: Any) -> None:
    """However long it is, few objects are read, and what they add up to is the same."""
    monkeypatch.setattr(commits, "_WHOLE", 8)
    log = begun(url)
    log.take()
    for number in range(30):
        log.write(step(number), {f"f{number}": Kept(f"k{number}", number)})
    other = log_at(url)
    asked: list[str] = []
    read_all = other._objects.read_all

    def counted(keys: Iterable[str]) -> list[bytes | None]:
        asked.extend(keys)
        return read_all(asked)

    monkeypatch.setattr(other._objects, "read_all", counted)
    other.read_on()
    assert other.steps == [step(number) for number in range(30)]
    assert (other.files, other.next) == (log.files, log.next)
    assert len(asked) <= 8


def test_of_two_who_begin_one_is_told_that_it_was_late(url: str) -> None:
    """Both at once, wherever they are."""
    first, second = log_at(url), log_at(url, "there")
    assert first.begin([step(1)], {})
    assert not second.begin([step(2)], {})
    second.read_on()
    assert second.steps == [step(1)]


def test_who_is_alive_is_not_taken_over_and_named(url: str) -> None:
    """The other one hears who it is, and nothing is left of its try."""
    first, second = begun(url), log_at(url, "there")
    first.take()
    with pytest.raises(OwnedError, match="process") as raised:
        second.take()
    assert first.me.who in str(raised.value)
    first.write(step(1), {})
    first.leave()
    second.take()
    second.write(step(2), {})


def test_who_was_taken_over_writes_nothing_more(url: str) -> None:
    """However late it comes back: it is told, and what it wanted to write is not there."""
    first, second = begun(url), log_at(url, "there")
    first.take()
    first.hold()
    assert second.dismiss() == first.me.who
    second.take()
    with pytest.raises(LateError, match="process"):
        first.write(step(1), {})
    with pytest.raises(LateError):
        first.hold()
    second.write(step(2), {})
    assert second.steps == [step(2)]


def test_who_was_not_heard_of_is_taken_over(url: str, monkeypatch: Any) -> None:
    """After two minutes by the clock of the store; here that is none."""
    first, second = begun(url), log_at(url, "there")
    first.take()
    monkeypatch.setattr(commits, "_DEAD_SECONDS", 0.0)
    second.take()
    with pytest.raises(LateError):
        first.write(step(1), {})


def test_who_died_at_the_same_desk_is_not_waited_for(url: str) -> None:
    """A desk has one process at a time, so the one before is dead."""
    begun(url).take()
    log_at(url).take()


def test_a_dismissed_owner_hears_of_it(url: str, monkeypatch: Any) -> None:
    """It stays no longer, and writes no more, though nobody else has come."""
    monkeypatch.setattr(commits, "_HEARD_SECONDS", 0.01)
    first = begun(url)
    first.take()
    first.stay(lambda: None)
    log_at(url, "there").dismiss()
    assert first._staying is not None
    first._staying.join(30)
    with pytest.raises(LateError):
        first.write(step(1), {})


def test_a_put_whose_answer_is_lost_is_known_as_ours(bucket: Bucket) -> None:
    """The store did it, the answer never came: the next try finds it there, and that is right."""
    log = begun("s3://b/one")
    log.take()
    faults = ["mute"]
    bucket.fault = lambda verb, key: faults.pop() if verb == "PUT" and faults else ""
    log.write(step(1), {})
    assert not faults
    log.write(step(2), {})
    other = log_at("s3://b/one")
    other.read_on()
    assert other.steps == [step(1), step(2)]


@pytest.mark.parametrize("fault", ["refuse", "drop"])
def test_a_put_that_fails_is_tried_again_then_given_up(bucket: Bucket, fault: str) -> None:
    """A bad moment passes; a bad day ends it, with the log as it was."""
    log = begun("s3://b/one")
    log.take()
    faults = [fault] * 2
    bucket.fault = lambda verb, key: faults.pop() if verb == "PUT" and faults else ""
    log.write(step(1), {})
    bucket.fault = lambda verb, key: fault if verb == "PUT" else ""
    with pytest.raises(StoreError, match=r"s3://b/one: .*PUT"):
        log.write(step(2), {})
    bucket.fault = lambda verb, key: ""
    other = log_at("s3://b/one")
    other.take()
    assert other.steps == [step(1)]


def test_a_store_that_overlooks_conditions_is_refused(bucket: Bucket) -> None:
    """Before anything is begun there; two could own a campaign."""
    bucket.blind = True
    with pytest.raises(StoreError, match="not safe"):
        log_at("s3://b/one").begin([], {})
    assert not bucket.names("one/")


def test_what_is_no_log_is_said_to_be_none(url: str) -> None:
    """What others have put there is passed by; a commit that is none is told, not run."""
    log = begun(url)
    there = Objects(url)
    there.put("log/notes.txt", b"mine")
    log.read_on()
    there.put("log/00000001.json", b"[]")
    with pytest.raises(StoreError, match=r"log/00000001.json: Expected"):
        log.read_on()


def test_no_secret_of_a_url_is_told(bucket: Bucket) -> None:
    """What stands behind a question mark may be a signature."""
    bucket.fault = lambda verb, key: "refuse"
    with pytest.raises(StoreError) as raised:
        Objects("s3://b/one").names("log")
    assert "?" not in str(raised.value)
    assert "prefix" not in str(raised.value)


def test_without_the_package_it_says_what_to_install(monkeypatch: Any) -> None:
    """One line, with the extra's name."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(objects.MissingStoreError, match=r"pip install 'batchyard\[cloud\]'"):
        Objects("s3://b/one")
