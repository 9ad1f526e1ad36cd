"""How a call ends: with a whole answer, or with a fault that says why there is none."""

from enum import Enum

import msgspec

from batchyard.places.content_coding import CodingError, coding_of, decode_body

__all__ = ["Answer", "Ending", "Fault", "without_coding"]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A complete answer of any status; header names in lower case, in the order they came."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Fault(msgspec.Struct, frozen=True, gc=False):
    """Why there is no answer.

    `code` is `request_timeout`, `upstream_unreachable`, `invalid_upstream_response` or
    `response_too_large`; `sent` is true when any byte of the request may have gone out. `status`
    is that of the answer whose rest did not come, 0 where not even its head did.
    """

    code: str
    detail: str
    sent: bool
    status: int = 0


class Ending(Enum):
    """What the end of a call without an answer says of its connection."""

    PLAIN = "nothing"
    REUSED = "it had served before, and was closed without a byte of an answer"
    UNREAD = "and so it was before the request came there"


def without_coding(answer: Answer, most: int) -> Answer | Fault:
    """The answer without its content encoding, which was not asked for; up to `most` bytes."""
    coding = coding_of(answer.headers)
    if not coding or not answer.body:
        return answer
    try:
        decoded = decode_body(coding, answer.body, most)
    except CodingError as error:
        return Fault("invalid_upstream_response", f"{error}.", True, answer.status)
    if decoded is None:
        detail = f"The answer is larger than {most} bytes."
        return Fault("response_too_large", detail, True, answer.status)
    # Both are of the body as it was sent.
    gone = (b"content-encoding", b"content-length")
    return Answer(answer.status, [one for one in answer.headers if one[0] not in gone], decoded)
