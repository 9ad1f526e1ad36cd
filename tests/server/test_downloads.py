"""Bytes on their way out: verified, compressed where asked for, resumed where cut."""

import asyncio
import gzip
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from batchyard.places.clock import Clock
from batchyard.server import turnstile
from batchyard.server.upkeep import Upkeep
from tests.server.door import Caller
from tests.server.recorded import Running
from tests.server.until import until

CONTENT = b"".join(b'{"line":%d,"text":"always the same"}\n' % number for number in range(60_000))


def blob_of(caller: Caller, id: str) -> Path:
    """Where the bytes of an uploaded file lie."""
    return caller.door.blobs_folder / "inputs" / id


def flip(path: Path, at: int) -> None:
    """Change one bit, and leave the length as it is."""
    with path.open("r+b") as blob:
        blob.seek(at)
        byte = blob.read(1)[0]
        blob.seek(at)
        blob.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("asked", [{}, {"range": "bytes=5-9"}, {"accept-encoding": "gzip"}])
def test_a_flipped_bit_is_never_served(caller: Caller, asked: dict[str, str]) -> None:
    """F16: not even when another part is asked for, nor when it was sound a moment ago."""
    id = caller.upload(CONTENT)
    path = f"/v1/files/{id}/content"
    assert caller.ask("GET", path, None, asked).status in (200, 206)
    flip(blob_of(caller, id), len(CONTENT) - 2)
    answer = caller.ask("GET", path, None, asked)
    assert answer.error == (500, "file_corrupt", None)
    assert answer.headers["x-should-retry"] == "false"
    with caller.sdk(max_retries=2) as client, pytest.raises(openai.InternalServerError) as raised:
        client.files.content(id)
    assert raised.value.code == "file_corrupt"


def test_a_vanished_blob_is_told(caller: Caller) -> None:
    """F45: 500 `file_corrupt`, as for one that is too short; the file can still be deleted."""
    gone, short = caller.upload(CONTENT), caller.upload(CONTENT)
    blob_of(caller, gone).unlink()
    os.truncate(blob_of(caller, short), 10)
    for id in (gone, short):
        answer = caller.ask("GET", f"/v1/files/{id}/content")
        assert answer.error == (500, "file_corrupt", None)
        assert caller.ask("DELETE", f"/v1/files/{id}").status == 200


@pytest.mark.parametrize("offer", ["gzip", "deflate, gzip;q=0.5", "br, GZIP"])
def test_content_is_compressed_for_those_who_ask(caller: Caller, offer: str) -> None:
    """A weak tag, no length, and after decompression the same bytes."""
    path = f"/v1/files/{caller.upload(CONTENT)}/content"
    answer = caller.ask("GET", path, None, {"accept-encoding": offer})
    assert answer.headers["content-encoding"] == "gzip"
    assert "content-length" not in answer.headers
    assert len(answer.body) < len(CONTENT) // 4
    assert gzip.decompress(answer.body) == CONTENT
    tag = f'W/"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert tag == answer.headers["etag"]
    assert caller.ask("GET", path, None, {"if-none-match": tag}).status == 304


@pytest.mark.parametrize("offer", ["", "identity", "gzip;q=0", "gzip;q=0.0, br", "zip"])
def test_content_is_not_compressed_for_others(caller: Caller, offer: str) -> None:
    """Nor a range, nor what is too short to be worth it."""
    path = f"/v1/files/{caller.upload(CONTENT)}/content"
    answer = caller.ask("GET", path, None, {"accept-encoding": offer})
    assert ("content-encoding" in answer.headers, answer.body) == (False, CONTENT)
    asked = {"accept-encoding": "gzip", "range": "bytes=10-2009"}
    part = caller.ask("GET", path, None, asked)
    assert (part.status, part.body) == (206, CONTENT[10:2_010])
    short = f"/v1/files/{caller.upload(b'short')}/content"
    assert caller.ask("GET", short, None, {"accept-encoding": "gzip"}).body == b"short"


def test_a_download_is_resumed_where_it_was_cut(caller: Caller) -> None:
    """Cut again and again, and gone on with Range and If-Range, the bytes are the same."""
    path = f"/v1/files/{caller.upload(CONTENT)}/content"
    etag = caller.ask("HEAD", path).headers["etag"]
    got = bytearray()
    while len(got) < len(CONTENT):
        with caller.door.connect() as connection:
            asked = (f"range: bytes={len(got)}-", f"if-range: {etag}")
            connection.sendall(caller.head_of("GET", path, *asked))
            with connection.makefile("rb") as stream:
                head = iter(stream.readline, b"\r\n")
                assert b" 206 " in next(head)
                assert dict(line.split(b": ", 1) for line in head)[b"etag"].strip() == etag.encode()
                # The connection is given up in the middle.
                got += stream.read(min(700_001, len(CONTENT) - len(got)))
    assert bytes(got) == CONTENT


@contextmanager
def stalled(caller: Caller, path: str, *fields: str) -> Iterator[socket.socket]:
    """A reader that asks for much and takes nothing but the head."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", caller.door.port))
        connection.sendall(caller.head_of("GET", path, *fields))
        assert connection.recv(12) == b"HTTP/1.1 200"
        yield connection


@pytest.fixture
def large(caller: Caller) -> Running:
    """A batch with an answer of 12 MB, and one of a few bytes."""
    running = Running(caller, 3)
    running.record({0: "x" * 12_000_000, 1: "short"}, {2: (500, {})})
    running.step()
    return running


def test_a_download_is_read_piece_by_piece(
    caller: Caller, large: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read ahead of a slow reader, whatever is asked for, but a piece of 64 KiB."""
    pieces: list[int] = []
    blobs = caller.door.yard.blobs
    chunks = blobs.chunks

    def watched(name: str, **span: Any) -> Iterator[bytes]:
        for chunk in chunks(name, **span):
            if "piece_bytes" in span:
                pieces.append(len(chunk))
            yield chunk

    monkeypatch.setattr(blobs, "chunks", watched)
    batch = caller.ask("GET", f"/v1/batches/{large.id}").json
    path = f"/v1/files/{batch['output_file_id']}/content"
    results = f"/v1/batches/{large.id}/results"
    for where, headers in (
        (path, {}),
        (path, {"accept-encoding": "gzip"}),
        (results, {}),
        (f"{results}?format=csv", {}),
        (f"/v1/batches/{large.id}/output", {}),
    ):
        pieces.clear()
        assert caller.ask("GET", where, None, headers).status == 200
        assert sum(pieces) > 12_000_000
        assert max(pieces) <= 65_536
    before = caller.door.protocols()
    with stalled(caller, path):
        (ours,) = caller.door.protocols() - before
        until(lambda: ours.flow.write_paused)
        assert ours.transport.get_write_buffer_size() <= 3 * 65_536


def test_a_key_has_so_many_downloads_at_once(
    caller: Caller, large: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more waits a moment and is refused; other keys, and small answers, are not held up."""
    monkeypatch.setattr(turnstile, "_AT_ONCE_MAX", 2)
    monkeypatch.setattr(turnstile, "_WAIT_SECONDS_MAX", 0.1)
    batch = caller.ask("GET", f"/v1/batches/{large.id}").json
    content = f"/v1/files/{batch['output_file_id']}/content"
    results = f"/v1/batches/{large.id}/results"
    other = caller.door.caller(caller.project)
    with stalled(caller, content) as first, stalled(caller, f"{results}?format=csv"):
        for path in (content, results, f"/v1/batches/{large.id}/output"):
            answer = caller.ask("GET", path)
            assert (answer.status, answer.json["error"]["code"]) == (429, "rate_limit_exceeded")
            assert int(answer.headers["retry-after"]) > 0
        assert caller.ask("GET", f"/v1/batches/{large.id}/errors").status == 200
        assert caller.ask("HEAD", content).status == 200
        assert other.ask("GET", content).status == 200
        monkeypatch.setattr(turnstile, "_WAIT_SECONDS_MAX", 10)
        first.close()
        assert caller.ask("GET", content).status == 200
    until(lambda: not caller.door.yard.turnstile._places)


def test_who_deletes_while_paging_sees_every_file(caller: Caller) -> None:
    """A file whose bytes are gone is still a place in the list, for a day."""
    ids = {caller.upload() for _ in range(7)}
    yard, seen = caller.door.yard, set()
    upkeep = Upkeep(yard.records, yard.blobs, yard.store, yard.clock)
    with caller.sdk() as client:
        for file in client.files.list(limit=2):
            seen.add(file.id)
            client.files.delete(file.id)
            asyncio.run(upkeep.sweep_files())
        assert seen == ids
        assert list(client.files.list()) == []
    assert not [id for id in ids if blob_of(caller, id).exists()]
    later = Clock(wall=lambda: yard.now() + 86_401, steady=lambda: 0.0)
    one = caller.upload()
    caller.ask("DELETE", f"/v1/files/{one}")
    asyncio.run(Upkeep(yard.records, yard.blobs, yard.store, later).sweep_files())
    assert caller.ask("GET", f"/v1/files?after={min(ids)}").json["data"] == []
