"""Answers that are framed or encoded oddly are read as clients in wide use read them."""

import gzip
import tracemalloc
import zlib
from contextlib import aclosing

import pytest

from batchyard.places.content_coding import CodingError, Decoder, decode_body
from batchyard.places.transfer import BrokenError, Transfer
from batchyard.places.transport import Answer, Fault, Transport
from tests.places.upstream_server import answer, saying, serving, upstream

REQUEST = b"POST /v1/x HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"
START = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"content-length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
IN_CHUNKS = b"\r\n3\r\n{} \r\n2\r\n{}\r\n0\r\n\r\n"
BODY = b"{} {}"
RAW_DEFLATE = zlib.compressobj(9, zlib.DEFLATED, -15)
RAW = RAW_DEFLATE.compress(BODY) + RAW_DEFLATE.flush()
CODED = {
    b"gzip": gzip.compress(BODY),
    b" X-GZip ": gzip.compress(BODY),
    b"identity, gzip": gzip.compress(BODY),
    b"deflate": zlib.compress(BODY),
    b"Deflate": RAW,
}


def coded(coding: bytes, body: bytes, *headers: bytes) -> bytes:
    return answer(body, b"Content-Encoding: " + coding, *headers)


GOOD = {
    "length and chunks": START + LENGTH + CHUNKED + IN_CHUNKS,
    "chunks and length": START + CHUNKED + b"x: y\r\n" + LENGTH + IN_CHUNKS,
    "chunks and a wrong length": START + b"content-length: 99\r\n" + CHUNKED + IN_CHUNKS,
    "twice the same length": START + LENGTH + b"x: y\r\n" + LENGTH + b"\r\n" + BODY,
    "a list of the same length": START + b"content-length: 5, 5\r\n\r\n" + BODY,
    "identity and length": START + b"transfer-encoding: identity\r\n" + LENGTH + b"\r\n" + BODY,
    "identity to the end": START + b"transfer-encoding: Identity\r\n\r\n" + BODY,
    "after interim answers": b"HTTP/1.1 103 Early\r\nx-i: 1\r\n\r\n" * 2
    + (START + LENGTH + LENGTH + b"\r\n" + BODY),
    "gzip in chunks": START
    + b"content-encoding: gzip\r\n"
    + CHUNKED
    + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(CODED[b"gzip"]), CODED[b"gzip"]),
    "gzip to the end": START + b"content-encoding: gzip\r\n\r\n" + CODED[b"gzip"],
    "gzip of parts": coded(b"gzip", gzip.compress(b"{} ") + gzip.compress(b"{}")),
    "padded gzip": coded(b"gzip", CODED[b"gzip"] + b"\0" * 20),
    **{coding.decode(): coded(coding, body) for coding, body in CODED.items()},
}


async def by_transport(url: str) -> tuple[int, bytes, set[bytes]] | Fault:
    async with aclosing(Transport(url)) as transport:
        got = await transport.fetch(REQUEST, timeout_seconds=20, body_bytes_max=100_000)
    return (
        got if isinstance(got, Fault) else (got.status, got.body, {one for one, _ in got.headers})
    )


async def by_transfer(url: str) -> tuple[int, bytes, set[bytes]] | Fault:
    try:
        async with Transfer(url).call(REQUEST) as arriving:
            body = await arriving.read(100_000)
    except BrokenError as error:
        return error.fault
    return arriving.status, body, {name for name, _ in arriving.headers}


WAYS = [by_transport, by_transfer]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pieces", ["at once", "byte by byte"])
@pytest.mark.parametrize("form", GOOD)
async def test_odd_answers_are_read(form: str, pieces: str, way: type) -> None:
    """However the answer tells its size, and whether it was compressed unasked, it is there."""
    raw = GOOD[form]
    parts = [raw] if pieces == "at once" else [raw[at : at + 1] for at in range(len(raw))]
    async with upstream(saying(*parts)) as server:
        got = await way(server.url)
    assert not isinstance(got, Fault), got
    assert got[:2] == (200, BODY)
    assert not {b"content-encoding", b"x-i"} & got[2]


INVALID = "invalid_upstream_response"
BAD = {
    "two lengths": (START + LENGTH + b"content-length: 6\r\n\r\n" + BODY, INVALID, "not HTTP"),
    "a list of two lengths": (START + b"content-length: 5, 6\r\n\r\n" + BODY, INVALID, "not HTTP"),
    "two lengths and chunks": (
        START + LENGTH + b"content-length: 6\r\n" + CHUNKED + IN_CHUNKS,
        INVALID,
        "not HTTP",
    ),
    "no number twice": (START + b"content-length: x\r\n" * 2 + b"\r\n", INVALID, "not HTTP"),
    "a bad chunk after both": (START + LENGTH + CHUNKED + b"\r\nzz\r\n", INVALID, "not HTTP"),
    "cut off after both": (
        START + LENGTH + CHUNKED + b"\r\n3\r\n{}",
        "upstream_unreachable",
        "closed",
    ),
    "cut off between both": (START + LENGTH + LENGTH, "upstream_unreachable", "closed"),
    "cut gzip": (coded(b"gzip", CODED[b"gzip"][:-9]), INVALID, "cut short"),
    "cut gzip to the end": (
        START + b"content-encoding: gzip\r\n\r\n" + CODED[b"gzip"][:-1],
        INVALID,
        "cut short",
    ),
    "one byte of deflate": (coded(b"deflate", b"x"), INVALID, "cut short"),
    "damaged gzip": (coded(b"gzip", CODED[b"gzip"][:-6] + b"xx" + b"\0" * 4), INVALID, "no sound"),
    "no gzip": (coded(b"gzip", BODY), INVALID, "no sound gzip"),
    "brotli": (coded(b"br", b"\x8b"), INVALID, "'br', which was not asked for"),
    "zstd": (coded(b"zstd", b"\x28\xb5"), INVALID, "'zstd'"),
    "twice": (coded(b"gzip, gzip", b"x"), INVALID, "'gzip, gzip'"),
    "too large": (coded(b"gzip", gzip.compress(b"y" * 100_001)), "response_too_large", "100000"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", BAD)
async def test_what_cannot_be_read_is_told(form: str, way: type) -> None:
    """Sizes that differ, and codings that are cut, damaged, unknown or a bomb, are faults."""
    raw, code, detail = BAD[form]
    async with upstream(saying(raw)) as server:
        fault = await way(server.url)
    assert isinstance(fault, Fault), fault
    assert (fault.code, fault.sent) == (code, True)
    assert detail in fault.detail


@pytest.mark.parametrize("form", ["length and chunks", "gzip", "twice the same length"])
async def test_the_connection_is_kept_for_the_next(form: str) -> None:
    """One answer after the other is read, and what follows an answer unasked ends it."""
    async with (
        upstream(serving(GOOD[form])) as server,
        aclosing(Transport(server.url)) as transport,
    ):
        for _ in range(3):
            got = await transport.fetch(REQUEST, timeout_seconds=20, body_bytes_max=100)
            assert isinstance(got, Answer), got
            assert (got.body, server.visits) == (BODY, 1)
    async with (
        upstream(serving(GOOD[form] + b"more")) as server,
        aclosing(Transport(server.url)) as transport,
    ):
        for visits in (1, 2):
            got = await transport.fetch(REQUEST, timeout_seconds=20, body_bytes_max=100)
            assert isinstance(got, Answer), got
            assert (got.body, server.visits) == (BODY, visits)


async def test_a_part_that_is_encoded_is_refused() -> None:
    """Of an encoded part nobody knows which bytes of the content it has."""
    raw = coded(b"gzip", CODED[b"gzip"]).replace(b"200 OK", b"206 Partial Content")
    async with upstream(saying(raw)) as server:
        fault = await by_transfer(server.url)
    assert isinstance(fault, Fault)
    assert "A part of the content" in fault.detail


async def test_a_download_that_is_encoded_tells_its_end_and_no_size() -> None:
    """The size in the head is not that of the content."""
    raw = START + b"content-encoding: gzip\r\n\r\n" + CODED[b"gzip"]
    async with upstream(saying(raw)) as server, Transfer(server.url).call(REQUEST) as arriving:
        assert arriving.tells_its_end
        assert await arriving.read(100) == BODY
    raw = coded(b"gzip", CODED[b"gzip"])
    async with upstream(saying(raw)) as server, Transfer(server.url).call(REQUEST) as arriving:
        assert (arriving.tells_its_end, arriving.said(b"content-length")) == (True, b"")


def test_a_bomb_takes_little_memory() -> None:
    """Neither whole nor in pieces is more unpacked than is allowed."""
    bomb = gzip.compress(b"\0" * 90_000_000, 9)
    tracemalloc.start()
    try:
        assert decode_body(b"gzip", bomb, 1_000_000) is None
        decoder = Decoder(b"gzip")
        with pytest.raises(CodingError, match="more than it should"):
            for piece in decoder.pieces(bomb):
                assert len(piece) <= 1 << 18
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 18, (1 << 18) + 1, 3 << 18])
@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_every_size_comes_whole(coding: bytes, size: int) -> None:
    """Also where a piece ends just where the content does."""
    body = bytes(range(256)) * (size // 256 + 1)
    packed = gzip.compress(body[:size]) if coding == b"gzip" else zlib.compress(body[:size])
    assert decode_body(coding, packed, size) == body[:size]
    decoder = Decoder(coding)
    parts = [p for at in range(len(packed)) for p in decoder.pieces(packed[at : at + 1])]
    decoder.finish()
    assert b"".join(parts) == body[:size]
