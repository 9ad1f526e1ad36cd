"""The content of a file: the beginnings of its blobs, one after the other."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from batchyard.places.blobs import BlobCorruptError, Blobs
from batchyard.places.store.rows import Content, Part

__all__ = ["Beginnings", "chunks_of", "sound_chunks_of", "span_of", "verify"]

_BEGINNINGS_MAX = 1_000


def chunks_of(
    blobs: Blobs,
    parts: Sequence[Part],
    start: int = 0,
    length: int | None = None,
    piece_bytes: int = 1 << 20,
) -> Iterator[bytes]:
    """The bytes of a content from `start`, across the borders of its parts, in pieces."""
    end = sum(part.size_bytes for part in parts) if length is None else start + length
    offset = 0
    for part in parts:
        first = max(start - offset, 0)
        left = min(end - offset, part.size_bytes) - first
        if left > 0:
            yield from blobs.chunks(part.blob, start=first, length=left, piece_bytes=piece_bytes)
        offset += part.size_bytes


def span_of(blobs: Blobs, parts: Sequence[Part], start: int, length: int) -> bytes:
    """That many bytes of a content from `start`."""
    return b"".join(chunks_of(blobs, parts, start, length))


def verify(blobs: Blobs, content: Content) -> None:
    """Hold the blobs of a file against their hashes; raises BlobCorruptError.

    Each is read once in the life of a process, and again when it was touched.
    """
    whole = content.sha256 if len(content.parts) == 1 else ""
    for part in content.parts:
        blobs.verify(part.blob, part.size_bytes, part.sha256 or whole)


def sound_chunks_of(blobs: Blobs, content: Content) -> Iterator[bytes]:
    """All bytes of a file, each blob held against its hash; raises BlobCorruptError at its end.

    For copies: what is copied unseen would be sound under the hash of the copy.
    """
    whole = content.sha256 if len(content.parts) == 1 else ""
    for part in content.parts:
        hashed, sha256 = hashlib.sha256(), part.sha256 or whole
        for chunk in blobs.chunks(part.blob, length=part.size_bytes):
            hashed.update(chunk)
            yield chunk
        if sha256 and hashed.hexdigest() != sha256:
            raise BlobCorruptError(f"blob {part.blob} is not what was written")


class _Beginning(NamedTuple):
    """How much of a blob was found sound, what it hashed to, and what its file looked like."""

    size_bytes: int
    sha256: "hashlib._Hash"
    looks: tuple[int, float]


class Beginnings:
    """The beginnings of blobs that still grow, held against the hashes of their marks.

    While a blob only grows, each of its bytes is read once; when it was touched in another way,
    all of it is read again. Once it has ended, `verify` reads the whole, whatever was found here.
    """

    def __init__(self) -> None:
        self._found: dict[str, _Beginning] = {}

    def verify(self, blobs: Blobs, name: str, size_bytes: int, sha256: str) -> None:
        """Hold the first bytes of a blob against their hash; raises BlobCorruptError."""
        looks = blobs.look(name)
        if looks is None:
            raise BlobCorruptError(f"blob {name} is gone")
        known = self._found.get(name)
        if known is not None and (known.size_bytes, known.looks) == (size_bytes, looks):
            return
        grew = known is not None and looks[0] > known.looks[0] and size_bytes >= known.size_bytes
        start, hashed = 0, hashlib.sha256()
        if known is not None and grew:
            start, hashed = known.size_bytes, known.sha256.copy()
        for chunk in blobs.chunks(name, start=start, length=size_bytes - start):
            hashed.update(chunk)
        if hashed.hexdigest() != sha256:
            raise BlobCorruptError(f"blob {name} is not what was written")
        if len(self._found) >= _BEGINNINGS_MAX:
            self._found.clear()
        self._found[name] = _Beginning(size_bytes, hashed, looks)
