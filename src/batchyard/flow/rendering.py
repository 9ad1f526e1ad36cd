"""Turns a line that came back into the one line that will tell of it."""

from batchyard.flow.lanes import Landing
from batchyard.wire.lines import line_id, render_answer, render_failure

__all__ = ["render"]


def render(prefix: str, index: int, custom_id: str, landing: Landing) -> bytes:
    """Render a result in its final form; the request id is the upstream's where it has one."""
    line = line_id(prefix, index)
    answer = landing.answer
    if answer is None:
        assert landing.fault is not None
        return render_failure(line, custom_id, landing.fault.code, landing.fault.detail)
    request = f"req_{line[10:]}"
    for name, value in answer.headers:
        if name == b"x-request-id":
            request = value.decode("latin-1")
            break
    return render_answer(line, custom_id, answer.status, request, answer.body)
