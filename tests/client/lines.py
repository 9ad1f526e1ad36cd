"""Lines of files of requests."""

import json
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["CHAT", "EMBEDDINGS", "RESPONSES", "chunked", "line"]

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


def chunked(text: str, size: int = 1 << 20) -> Callable[[], Iterator[bytes]]:
    """The text as a file that can be read again and again."""
    raw = text.encode()
    return lambda: (raw[start : start + size] for start in range(0, len(raw), size))
