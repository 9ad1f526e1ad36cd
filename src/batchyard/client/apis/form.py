"""A file as the form in which it is uploaded, read from the disk while it is sent."""

from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Form", "Moved", "unheard"]

_PIECE_BYTES = 1 << 18

# Hears how many bytes of a file are there, and of how many.
Moved = Callable[[int, int | None], object]


def unheard(_done: int, _total: int | None) -> None:
    """Nobody wants to know."""


class Form:
    """The form of one file; `size` is that of the whole form. The boundary must not be in the file.

    Each time that it is asked for its parts it begins with the file anew.
    """

    def __init__(self, path: Path, name: str, purpose: str, boundary: str) -> None:
        self._path, self._boundary = path, boundary
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n'
            f"{purpose}\r\n"
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._file_bytes = path.stat().st_size
        self.size = len(self._head) + self._file_bytes + len(self._tail)

    @property
    def content_type(self) -> str:
        """What the header says."""
        return f"multipart/form-data; boundary={self._boundary}"

    def parts(self, moved: Moved = unheard) -> Iterator[bytes]:
        """The bytes of the form; OSError where the file has become shorter meanwhile.

        What was added to the file since is not sent.
        """
        yield self._head
        left = self._file_bytes
        with self._path.open("rb") as file:
            while left:
                piece = file.read(min(_PIECE_BYTES, left))
                if not piece:
                    raise OSError(f"{self._path} was cut short while it was sent.")
                yield piece
                left -= len(piece)
                moved(self._file_bytes - left, self._file_bytes)
        yield self._tail
