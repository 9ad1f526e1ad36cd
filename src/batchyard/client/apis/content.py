"""An answer with the content of a file, or with a part of it, on its way here."""

import re
from collections.abc import AsyncIterator

from batchyard.places.transfer import Arriving

__all__ = ["Content", "content_of"]

_SPAN = re.compile(rb"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)")


class Content:
    """What comes, from `start` on, of a file of `total` bytes; None where it cannot be told.

    `version` is the same for each part of one file, and for no other file of this id, as far as
    the server lets tell; empty where it does not. `tells_its_end`: a cut answer is no whole one.
    """

    def __init__(self, answer: Arriving, start: int | None, total: int | None) -> None:
        self.start, self.total = start, total
        self.tells_its_end = answer.tells_its_end
        self.version = _version_of(answer, total)
        self._answer = answer

    def pieces(self) -> AsyncIterator[bytes]:
        """The bytes; ProviderError around this where they break off."""
        return self._answer.pieces()


def content_of(answer: Arriving) -> Content:
    """What a good answer to a request for content has."""
    if answer.status != 206:
        told = answer.said(b"content-length")
        return Content(answer, 0, int(told) if told.isdigit() else None)
    span = _SPAN.fullmatch(answer.said(b"content-range"))
    if span is None:
        return Content(answer, None, None)
    return Content(answer, int(span[1]), None if span[2] == b"*" else int(span[2]))


def _version_of(answer: Arriving, total: int | None) -> str:
    tag = answer.said(b"etag").decode("latin-1")
    if tag:
        return tag
    if total is None:
        return ""
    return f"{answer.said(b'last-modified').decode('latin-1')}/{total}"
