"""How a line comes back for good."""

import msgspec
from msgspec import Struct

from batchyard.places.transport import Answer, Fault
from batchyard.wire.lines import AnswerFacts, read_answer

__all__ = ["Landing", "given_up", "written_off"]


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


def given_up(
    index: int, custom_id: str, calls: int, outcome: Answer | Fault, detail: str
) -> Landing:
    """How a line ends whose last call brought this; `detail` says what came, for people."""
    if not isinstance(outcome, Answer):
        fault = msgspec.structs.replace(outcome, detail=detail)
        return Landing(index, custom_id, calls, fault=fault)
    if outcome.status < 400 and not _tells_its_error(outcome):
        # The body alone would tell neither of its type nor where it leads.
        fault = Fault("invalid_upstream_response", detail, sent=True)
        return Landing(index, custom_id, calls, fault=fault)
    return Landing(index, custom_id, calls, outcome)


def _tells_its_error(answer: Answer) -> bool:
    return answer.status < 300 and read_answer(answer.body) is not None
