"""Bytes that a disk has changed or lost: every door says so, and none gives them out."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchyard.places.blobs import BlobCorruptError, Blobs
from batchyard.places.contents import Beginnings
from tests.server.door import Answer, Caller
from tests.server.recorded import Running

THROTTLED = (429, {"code": "rate_limit_exceeded", "message": "Slow down."})


def flip(path: Path, at: int) -> None:
    """Change one bit, and leave the length as it is."""
    with path.open("r+b") as blob:
        blob.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        byte = blob.read(1)[0]
        blob.seek(-1, os.SEEK_CUR)
        blob.write(bytes([byte ^ 1]))


def overwrite(path: Path) -> None:
    """Leave nothing of it but its length."""
    path.write_bytes(b"x" * path.stat().st_size)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "first bit": lambda path: flip(path, 0),
    "bit in the middle": lambda path: flip(path, path.stat().st_size // 2),
    "bit of the line end": lambda path: flip(path, -1),
    "a byte short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "empty": lambda path: os.truncate(path, 0),
    "other bytes": overwrite,
    "gone": lambda path: path.unlink(),
}
RESULTS = (
    "results",
    "results?format=csv",
    "results?limit=1",
    "results?status=errored",
    "results?status=errored&limit=1",
    "results?code=429",
    "output",
    "output?offset=0",
    "errors",
)


def blobs_of(caller: Caller, id: str) -> list[Path]:
    """Where the results of a batch lie."""
    found = sorted((caller.door.blobs_folder / "results" / id).iterdir())
    assert len(found) == 2
    return found


def asked(caller: Caller, running: Running) -> Iterator[tuple[str, Answer]]:
    """What each door for results says."""
    for what in RESULTS:
        yield what, caller.ask("GET", f"/v1/batches/{running.id}/{what}")


@pytest.mark.parametrize("ended", [False, True], ids=["running", "ended"])
@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_results_are_never_served(caller: Caller, kind: str, *, ended: bool) -> None:
    """While a batch runs and after; not even where all was sound a moment ago."""
    running = Running(caller, 4)
    running.record({0: "a", 2: "b"}, {1: THROTTLED})
    if ended:
        running.record({3: "c"})
        running.step()
    assert {answer.status for _, answer in asked(caller, running)} == {200}
    for path in blobs_of(caller, running.id):
        DAMAGES[kind](path)
    for what, answer in asked(caller, running):
        assert answer.error == (500, "file_corrupt", None), what
        assert answer.headers["x-should-retry"] == "false"
        assert running.id in answer.json["error"]["message"]
    if ended:
        shown = caller.ask("GET", f"/v1/batches/{running.id}").json
        for column in ("output_file_id", "error_file_id"):
            for headers in ({}, {"range": "bytes=0-9"}, {"accept-encoding": "gzip"}):
                answer = caller.ask("GET", f"/v1/files/{shown[column]}/content", None, headers)
                assert answer.error == (500, "file_corrupt", None)
        answer = caller.post(f"/v1/batches/{running.id}/retry", {})
        assert answer.error == (500, "file_corrupt", None)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_input_is_not_asked_again(caller: Caller, kind: str) -> None:
    """A copy would be sound under a hash of its own."""
    running = Running(caller, 2)
    running.record({0: "a"}, {1: THROTTLED})
    running.step()
    DAMAGES[kind](caller.door.blobs_folder / "inputs" / running.input_id)
    before = caller.ask("GET", "/v1/files").body, caller.ask("GET", "/v1/batches").body
    answer = caller.post(f"/v1/batches/{running.id}/retry", {})
    assert answer.error == (500, "file_corrupt", None)
    assert running.input_id in answer.json["error"]["message"]
    after = caller.ask("GET", "/v1/files").body, caller.ask("GET", "/v1/batches").body
    assert before == after


def test_what_is_sound_is_served_beside_what_is_not(caller: Caller) -> None:
    """Whoever asks for answers alone does not need the errors."""
    running = Running(caller, 2)
    running.record({0: "a"}, {1: THROTTLED})
    running.step()
    (errors,) = (one for one in blobs_of(caller, running.id) if ".error." in one.name)
    flip(errors, 5)
    for what in ("results?status=succeeded", "output"):
        assert caller.ask("GET", f"/v1/batches/{running.id}/{what}").status == 200
    assert caller.ask("GET", f"/v1/batches/{running.id}/results").error[1] == "file_corrupt"


def test_the_beginning_of_a_blob_is_read_again_when_it_did_not_merely_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only grows is read on; what was touched otherwise is read from its first byte."""
    blobs, found = Blobs(tmp_path), Beginnings()
    segment = blobs.segment("s")
    read: list[tuple[int, int]] = []
    chunks = blobs.chunks

    def watched(name: str, **span: Any) -> Iterator[bytes]:
        read.append((span["start"], span["length"]))
        return chunks(name, **span)

    monkeypatch.setattr(blobs, "chunks", watched)
    for text, expected in ((b"one\n", (0, 4)), (b"and two\n", (4, 8)), (b"three\n", (12, 6))):
        segment.append(text)
        reached = segment.reached
        segment.mark()
        found.verify(blobs, "s", *reached)
        found.verify(blobs, "s", *reached)
        assert read == [expected]
        read.clear()
    flip(tmp_path / "s", 1)
    with pytest.raises(BlobCorruptError):
        found.verify(blobs, "s", *reached)
    assert read == [(0, 18)]
    segment.close()
