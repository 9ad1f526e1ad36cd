"""A form that comes in pieces, cut wherever it is cruel to cut it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.places.blobs import Blobs
from batchyard.places.database import Inline
from batchyard.rules.limits import RELAXED
from batchyard.server.uploading import Form, receive
from batchyard.wire.errors import ApiError
from tests.server.door import form

PARTS = [b"x" * 90, b"y" * 200, b"\r", b"\n", b"\r\n", b"\r\n--", b"\r\n--B", b"--B--", b"\r\n--C"]


def received(body: bytes, cuts: Iterable[int]) -> tuple[Form, bytes]:
    """The form, and what of its file was stored."""
    bounds = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})

    async def stream() -> AsyncIterator[bytes]:
        for start, stop in pairwise(bounds):
            yield body[start:stop]

    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(Path(folder))
        told = asyncio.run(
            receive(
                stream(),
                "multipart/form-data; boundary=Boundary",
                limits=RELAXED,
                runner=Inline(),
                create=lambda: blobs.create("a"),
            )
        )
        told.upload.writing.commit()
        return told, b"".join(blobs.chunks("a"))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(PARTS), max_size=30).map(b"".join),
    st.lists(st.integers(0, 4_000), max_size=20),
)
def test_cuts_lose_and_add_nothing(content: bytes, cuts: list[int]) -> None:
    """What is stored, and what stands behind it, is the same wherever the form was cut."""
    parts = (b'name="file"; filename="f"', content), (b'name="purpose"', b"batch")
    told, stored = received(form(*parts, boundary=b"Boundary"), cuts)
    assert (stored, told.fields) == (content, {"purpose": "batch"})
    assert told.upload.scan is not None
    assert told.upload.scan.finish().bytes == len(content)


def test_a_delimiter_may_be_cut_anywhere() -> None:
    """The delimiter behind the file is found, cut in three or into its bytes."""
    content = b"x" * 500
    body = form((b'name="file"; filename="f"', content), boundary=b"Boundary")
    start = body.rindex(b"\r\n--Boundary")
    places = range(start, len(body))
    for cuts in [*combinations(places, 2), places, range(len(body))]:
        assert received(body, [100, *cuts])[1] == content


@pytest.mark.parametrize("said", [999, 1_000, 1_001])
def test_a_part_has_the_length_that_it_says(said: int) -> None:
    """A part that says how long it is, and is not, is refused in whatever pieces it comes."""
    content, options = b"x" * 1_000, b'name="file"; filename="f"\r\nContent-Length: %d' % said
    body, cuts = form((options, content), boundary=b"Boundary"), list(range(0, 2_000, 100))
    if said == len(content):
        assert received(body, cuts)[1] == content
    else:
        with pytest.raises(ApiError):
            received(body, cuts)
