"""Streams the bytes of a file to a client: verified, as they are or compressed."""

import re
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from batchyard.places.blobs import BlobCorruptError
from batchyard.places.contents import chunks_of, verify
from batchyard.places.log import log
from batchyard.places.store.results import Kept, Results
from batchyard.places.store.rows import Content
from batchyard.server.gate import key_id_of, project_of
from batchyard.server.reading import PIECE_BYTES
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError

__all__ = ["Download", "check", "check_results", "compressed", "plain", "wants_gzip"]

# Less is not worth the headers.
_COMPRESSED_BYTES_MIN = 1_024
# The fastest level: whoever waits for results waits for the network, not for the last byte saved.
_LEVEL = 1
_GZIP_WINDOW = 31
_GZIP = re.compile(r"\s*(?:gzip|x-gzip)\s*(?:;\s*q\s*=\s*(?P<weight>[0-9.]+)\s*)?", re.I)


async def check(request: Request, yard: Yard, found: Content) -> None:
    """Answer for the bytes of a file before the first of them leaves; raises ApiError."""
    try:
        await yard.disk.run(verify, yard.blobs, found)
    except BlobCorruptError as fault:
        project = project_of(request.scope)
        if await yard.store.run(yard.records.file, project, found.file_id, yard.now()) is None:
            # It was deleted a moment ago, and its bytes are on their way out.
            raise ApiError.no_such_file(found.file_id) from fault
        log.error("file_corrupt", file=found.file_id, why=str(fault))
        raise ApiError.file_corrupt(found.file_id) from fault


async def check_results(
    request: Request, yard: Yard, found: Results, asked: Sequence[Kept]
) -> None:
    """The same for these of the results of the batch that a request names."""
    try:
        for one in asked:
            await yard.disk.run(_verify_kept, yard, one, ended=found.ended)
    except BlobCorruptError as fault:
        id = request.path_params["id"]
        later = await yard.pages.run(
            yard.records.results, project_of(request.scope), id, yard.now()
        )
        for file_id in later.gone.values() if later is not None else ():
            raise ApiError.no_such_file(file_id) from fault
        log.error("file_corrupt", batch=id, why=str(fault))
        raise ApiError.file_corrupt(id) from fault


def _verify_kept(yard: Yard, one: Kept, *, ended: bool) -> None:
    if ended:
        yard.blobs.verify(one.blob, one.size_bytes, one.sha256)
    else:
        yard.beginnings.verify(yard.blobs, one.blob, one.size_bytes, one.sha256)


def wants_gzip(request: Request, size_bytes: int) -> bool:
    """Whether a client asked for the whole of so many bytes, and can take them compressed."""
    if size_bytes < _COMPRESSED_BYTES_MIN or "range" in request.headers:
        return False
    offers = map(_GZIP.fullmatch, request.headers.get("accept-encoding", "").split(","))
    return any(one is not None and (one["weight"] or "1").strip("0.") != "" for one in offers)


class Download(StreamingResponse):
    """Streams so many bytes, or about so many, piece by piece as the client takes them.

    What is no more than a piece needs no place among the downloads of its key.
    """

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        request: Request,
        yard: Yard,
        *,
        size_bytes: int,
        headers: Mapping[str, str],
        status_code: int = 200,
    ) -> None:
        super().__init__(pieces, status_code, headers)
        self._key_id = key_id_of(request.scope)
        self._turnstile = yard.turnstile
        self._size_bytes = size_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, in a place of its own."""
        if self._size_bytes <= PIECE_BYTES:
            await super().__call__(scope, receive, send)
            return
        async with self._turnstile.place(self._key_id):
            await super().__call__(scope, receive, send)


async def plain(yard: Yard, found: Content, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes from `start` up to `end`."""
    chunks = chunks_of(yard.blobs, found.parts, start, end - start, PIECE_BYTES)
    while chunk := await yard.disk.run(next, chunks, b""):
        yield chunk


async def compressed(yard: Yard, found: Content) -> AsyncIterator[bytes]:
    """All bytes as one gzip stream."""
    chunks = chunks_of(yard.blobs, found.parts, 0, found.size_bytes, PIECE_BYTES)
    squeezed = _squeezed(chunks)
    while piece := await yard.disk.run(next, squeezed, b""):
        yield piece


def _squeezed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    for chunk in chunks:
        if piece := squeeze.compress(chunk):
            yield piece
    yield squeeze.flush()
