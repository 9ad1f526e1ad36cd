"""Responses, with structured outputs."""

from typing import Any

from batchyard.sim.answers.reading import CREATED, Reading, answer_json
from batchyard.sim.answers.structured import instance_text
from batchyard.sim.texts import cut, input_tokens
from batchyard.wire.errors import ApiError

__all__ = ["answer_responses"]


def answer_responses(reading: Reading) -> tuple[bytes, int]:
    """A `response` with one message."""
    fields = reading.fields
    form = _text_format(fields)
    limit = reading.tokens_max("max_output_tokens")
    text, written, is_whole = cut(_content(reading, form), limit)
    status = "completed" if is_whole else "incomplete"
    read = input_tokens(fields.get("input")) + input_tokens(fields.get("instructions"))
    message = {
        "type": "message",
        "id": f"msg_{reading.number:016x}",
        "status": status,
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }
    answer = {
        "id": f"resp_{reading.number:016x}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "completed_at": CREATED if is_whole else None,
        "background": False,
        "error": None,
        "incomplete_details": None if is_whole else {"reason": "max_output_tokens"},
        "max_output_tokens": limit,
        "model": fields["model"],
        "output": [message],
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "text": {"format": form, "verbosity": "medium"},
        "truncation": "disabled",
        **{name: _echo(fields, name, default) for name, default in _ECHOED.items()},
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        },
    }
    return answer_json(answer), written


# Fields that come back as they were given, and what they are when they were not.
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "user": None,
}


def _echo(fields: dict[str, Any], name: str, default: Any) -> Any:
    value = fields.get(name)
    return default if value is None else value


def _text_format(fields: dict[str, Any]) -> dict[str, Any]:
    text = fields.get("text")
    form = text.get("format") if isinstance(text, dict) else None
    if not isinstance(form, dict) or "type" not in form:
        return {"type": "text"}
    if form["type"] == "json_schema" and not isinstance(form.get("schema"), dict):
        raise ApiError.missing("text.format.schema")
    return form


def _content(reading: Reading, form: dict[str, Any]) -> str:
    if form["type"] in ("json_schema", "json_object"):
        return instance_text(form.get("schema"), reading, 0)
    return reading.texts.answer(reading.number)
