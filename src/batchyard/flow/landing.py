"""How a line comes back for good."""

from msgspec import Struct

from batchyard.places.transport import Answer, Fault
from batchyard.wire.lines import AnswerFacts

__all__ = ["Landing", "written_off"]


class Landing(Struct, frozen=True, gc=False):
    """How a line came back for good: with an `answer`, or with a `fault` and none.

    `facts` is what the answer of a line that has succeeded says, None for any other. Without
    `custom_id`, the line cannot be read any more.
    """

    index: int
    custom_id: str | None
    calls: int
    answer: Answer | None = None
    facts: AnswerFacts | None = None
    fault: Fault | None = None


def written_off(index: int, custom_id: str | None, code: str, message: str) -> Landing:
    """How a line ends that is not sent any more, or never was."""
    return Landing(index, custom_id, 0, fault=Fault(code, message, sent=False))
