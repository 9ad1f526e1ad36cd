"""The rest of a file of requests of which it is sure that no batch can be made."""

import re

__all__ = ["Skim"]

_BLANK = b" \t\r\v\f"


class Skim:
    """Counts bytes and lines, and looks at none of them."""

    def __init__(self) -> None:
        self.bytes = self._ended = self._requests = 0
        # Of the last line, which may go on: whether any of it came, and one sign that is no blank.
        self._begun = False
        self._open = b""

    @property
    def lines(self) -> int:
        """All lines, blank ones too; the last may have no end."""
        return self._ended + self._begun

    @property
    def requests(self) -> int:
        """The lines that are not blank."""
        return self._requests + len(self._open)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""
        if not chunk:
            return
        self.bytes += len(chunk)
        self._ended += chunk.count(b"\n")
        self._begun = not chunk.endswith(b"\n")
        ended, feed, rest = (self._open + chunk.translate(None, _BLANK)).rpartition(b"\n")
        self._open = rest[:1]
        if feed:
            ended = ended.strip(b"\n")
            if b"\n\n" in ended:
                ended = re.sub(rb"\n{2,}+", b"\n", ended)
            self._requests += bool(ended) + ended.count(b"\n")
