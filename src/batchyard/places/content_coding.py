"""Undoes gzip and deflate, which some proxies do to answers although nobody asked for it."""

import zlib
from collections.abc import Iterator, Sequence

__all__ = ["CodingError", "Decoder", "coding_of", "decode_body", "name_of"]

_PIECE_BYTES = 1 << 18
_KNOWN = (b"gzip", b"x-gzip", b"deflate", b"compress", b"br", b"zstd", b"dcb", b"dcz")
_GZIP, _ZLIB, _RAW = 31, 15, -15
# What deflate makes of one byte over and over is a thousand times smaller; texts are twenty times.
_RATIO_MAX = 200
_FREE_BYTES = 64 << 20


class CodingError(ValueError):
    """The bytes are not what their content encoding says; the message tells why."""


def coding_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The content encoding of an answer; empty where its body is as it is."""
    told = [value for name, value in headers if name == b"content-encoding"]
    codings = [one.strip().lower() for one in b",".join(told).split(b",")]
    return b", ".join([one for one in codings if one not in (b"", b"identity")])


def name_of(coding: bytes) -> str:
    """A content encoding in words; what is no name of one may be anything, and is not told."""
    if all(one in _KNOWN for one in coding.split(b", ")):
        return f"the content encoding '{coding[:40].decode('ascii')}'"
    return "an unknown content encoding"


class Decoder:
    """Undoes one content encoding, piece by piece; raises CodingError where it cannot."""

    def __init__(self, coding: bytes) -> None:
        if coding not in (b"gzip", b"x-gzip", b"deflate"):
            raise CodingError(
                f"The answer has {name_of(coding)}, which was not asked for; of those only gzip "
                "and deflate can be undone"
            )
        self._coding = coding.decode()
        self._is_gzip = coding != b"deflate"
        self._inner = zlib.decompressobj(_GZIP) if self._is_gzip else None
        self._first = b""
        self._read_bytes = self._given_bytes = 0

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What comes of the next bytes, in pieces that are small however much that is."""
        self._read_bytes += len(chunk)
        if self._inner is None:
            self._first += chunk
            if len(self._first) < 2:
                return
            chunk, self._inner = self._first, zlib.decompressobj(_window_of(self._first))
        while True:
            if self._inner.eof:
                # Padding may follow, or another part, as where gzipped files were joined.
                if not (self._is_gzip and chunk.startswith(b"\x1f")):
                    return
                self._inner = zlib.decompressobj(_GZIP)
            try:
                piece = self._inner.decompress(chunk, _PIECE_BYTES)
            except zlib.error as error:
                raise CodingError(f"The answer is no sound {self._coding} ({error})") from None
            if piece:
                self._given_bytes += len(piece)
                if self._given_bytes > _FREE_BYTES + _RATIO_MAX * self._read_bytes:
                    raise CodingError(f"The answer's {self._coding} holds more than it should")
                yield piece
            chunk = self._inner.unused_data or self._inner.unconsumed_tail
            if not chunk and len(piece) < _PIECE_BYTES:
                return

    def finish(self) -> None:
        """All has come; raises CodingError where it was cut short."""
        if self._read_bytes and (self._inner is None or not self._inner.eof):
            raise CodingError(
                f"The answer's {self._coding} is cut short after {self._read_bytes} bytes"
            )


def decode_body(coding: bytes, body: bytes, most: int) -> bytes | None:
    """A whole body decoded; None where it has more bytes than that."""
    decoder, decoded = Decoder(coding), bytearray()
    for piece in decoder.pieces(body):
        decoded += piece
        if len(decoded) > most:
            return None
    decoder.finish()
    return bytes(decoded)


def _window_of(first: bytes) -> int:
    """What `deflate` means here: in a zlib wrapper, as is right, or without, as some send it."""
    is_wrapped = first[0] & 15 == 8 and int.from_bytes(first[:2]) % 31 == 0
    return _ZLIB if is_wrapped else _RAW
