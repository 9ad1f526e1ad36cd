"""Lines of files of requests."""

import json
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["CHAT", "EMBEDDINGS", "RESPONSES", "answer_line", "chunked", "fault_line", "line"]

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
_MESSAGES = [{"role": "user", "content": "hello"}]


def line(custom_id: object = "a", url: str = CHAT, **body: Any) -> str:
    """One request line with its line feed; it is sound unless the arguments are not."""
    asked: dict[str, Any] = {"model": "gpt-4o-mini"}
    if url == CHAT:
        asked["messages"] = _MESSAGES
    elif url in (RESPONSES, EMBEDDINGS):
        asked["input"] = "hello"
    whole = {"custom_id": custom_id, "method": "POST", "url": url, "body": asked | body}
    return json.dumps({name: value for name, value in whole.items() if value is not None}) + "\n"


def answer_line(custom_id: str, text: str, *, usage: tuple[int, int] | None = None) -> str:
    """One line of an output file, with a chat completion."""
    body: dict[str, Any] = {
        "object": "chat.completion",
        "model": "m1",
        "choices": [
            {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"},
        ],
    }
    if usage is not None:
        read, written = usage
        body["usage"] = {"prompt_tokens": read, "completion_tokens": written}
    response = {"status_code": 200, "request_id": "req_1", "body": body}
    whole = {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": None}
    return json.dumps(whole) + "\n"


def fault_line(custom_id: str, code: str, status: int | None = None) -> str:
    """One line of an error file; without a status nothing was answered."""
    fault = {"code": code, "message": f"It was {code}."}
    response = None if status is None else {"status_code": status, "body": {"error": fault}}
    error = fault if status is None else None
    whole = {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": error}
    return json.dumps(whole) + "\n"


def chunked(text: str, size: int = 1 << 20) -> Callable[[], Iterator[bytes]]:
    """The text as a file that can be read again and again."""
    raw = text.encode()
    return lambda: (raw[start : start + size] for start in range(0, len(raw), size))
