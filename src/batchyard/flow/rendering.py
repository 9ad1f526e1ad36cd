"""Turns lines that came back into the lines that will tell of them."""

from collections.abc import Iterable

from batchyard.flow.landing import Landing
from batchyard.wire.lines import line_id, render_answer, render_failure

__all__ = ["render"]


def render(prefix: str, first_index: int, landings: Iterable[Landing]) -> tuple[bytes, bytes]:
    """Render results in their final form: what the output file gets, and what the error file.

    `first_index` is that of the shard's first line. A request id is the upstream's where it has
    one.
    """
    output: list[bytes] = []
    errors: list[bytes] = []
    for landing in landings:
        line = line_id(prefix, first_index + landing.index)
        answer = landing.answer
        if answer is None:
            assert landing.fault is not None
            code, detail = landing.fault.code, landing.fault.detail
            errors.append(render_failure(line, landing.custom_id, code, detail))
            continue
        for name, value in answer.headers:
            if name == b"x-request-id":
                request = value.decode("latin-1")
                break
        else:
            request = "req_" + line[10:]
        assert landing.custom_id is not None
        parts = render_answer(line, landing.custom_id, answer.status, request, answer.body)
        (errors if landing.facts is None else output).extend(parts)
    return b"".join(output), b"".join(errors)
