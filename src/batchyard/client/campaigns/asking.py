"""How a request is asked again: as it was, with more room, or with what was wrong shown."""

import json
from typing import Any

from msgspec import Struct

from batchyard.client.results.outcomes import Again

__all__ = ["Anew", "asked_again", "with_cap"]

_CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# Of a request that has none, by the end of its URL.
_CAP_OF = {
    "/chat/completions": "max_completion_tokens",
    "/responses": "max_output_tokens",
    "/completions": "max_tokens",
}
_ANSWER_CHARACTERS = 20_000


class Anew(Struct, frozen=True, gc=False):
    """Why and how one request is asked again; `answer` and `fault` are what came before."""

    how: Again
    answer: str = ""
    fault: str = ""


def asked_again(line: bytes, anew: Anew, factor: float, most: int) -> bytes | None:
    """The request as it is asked again; None where it has no room for a longer answer."""
    if anew.how == "same":
        return line
    request = json.loads(line)
    body = request["body"]
    if anew.how == "longer":
        if not _lengthen(body, factor, most):
            return None
    else:
        _correct(body, anew)
    return _encoded(request)


def with_cap(line: bytes, tokens: int) -> bytes:
    """The request with room for an answer of so many tokens; never with less than it had."""
    request = json.loads(line)
    body, url = request.get("body"), str(request.get("url"))
    if not isinstance(body, dict):
        return line
    named = next((name for end, name in _CAP_OF.items() if url.endswith(end)), None)
    caps = [name for name in _CAPS if isinstance(body.get(name), int)] or ([named] if named else [])
    if all(body.get(name, 0) >= tokens for name in caps):
        return line
    for name in caps:
        body[name] = max(tokens, body.get(name, 0))
    return _encoded(request)


def _lengthen(body: dict[str, Any], factor: float, most: int) -> bool:
    caps = [name for name in _CAPS if isinstance(body.get(name), int) and body[name] < most]
    for name in caps:
        body[name] = min(most, max(body[name] + 1, int(body[name] * factor)))
    return bool(caps)


def _correct(body: dict[str, Any], anew: Anew) -> None:
    """Add the answer and what is wrong with it, where the request is a conversation."""
    name = "messages" if "messages" in body else "input"
    before = body.get(name)
    if isinstance(before, str):
        before = [{"role": "user", "content": before}]
    if not isinstance(before, list):
        return
    added = [{"role": "user", "content": f"Your answer was not accepted. {anew.fault}"}]
    if anew.answer:
        # A model that went astray may have written without end.
        answer = anew.answer[:_ANSWER_CHARACTERS]
        added.insert(0, {"role": "assistant", "content": answer})
    added[-1]["content"] += " Answer again, and correct this; write nothing but the answer."
    body[name] = [*before, *added]


def _encoded(request: Any) -> bytes:
    return json.dumps(request, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
