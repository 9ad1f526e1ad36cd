"""The content of a file: the beginnings of its blobs, one after the other."""

from collections.abc import Iterator, Sequence

from batchyard.places.blobs import Blobs
from batchyard.places.store.rows import Content, Part

__all__ = ["chunks_of", "span_of", "verify"]


def chunks_of(
    blobs: Blobs, parts: Sequence[Part], start: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """The bytes of a content from `start`, across the borders of its parts."""
    end = sum(part.size_bytes for part in parts) if length is None else start + length
    offset = 0
    for part in parts:
        first = max(start - offset, 0)
        left = min(end - offset, part.size_bytes) - first
        if left > 0:
            yield from blobs.chunks(part.blob, start=first, length=left)
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
