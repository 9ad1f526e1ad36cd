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
    status = b"completed" if is_whole else b"incomplete"
    read = input_tokens(fields.get("input")) + input_tokens(fields.get("instructions"))
    echoed = {name: fields[name] for name in _ECHOED.keys() & fields if fields[name] is not None}
    return _ANSWER % (
        *(reading.number, status, b"%d" % CREATED if is_whole else b"null"),
        *(b"null" if is_whole else b'{"reason":"max_output_tokens"}', answer_json(limit)),
        *(answer_json(fields["model"]), reading.number, status, answer_json(text)),
        answer_json(form),
        answer_json({**_ECHOED, **echoed})[1:-1] if echoed else _ECHOED_DEFAULTS,
        *(read, written, read + written),
    ), written


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
_ECHOED_DEFAULTS = answer_json(_ECHOED)[1:-1]
_ANSWER = (
    b'{"id":"resp_%%016x","object":"response","created_at":%d,"status":"%%b","completed_at":%%b,'
    b'"background":false,"error":null,"incomplete_details":%%b,"max_output_tokens":%%b,'
    b'"model":%%b,"output":[{"type":"message","id":"msg_%%016x","status":"%%b",'
    b'"role":"assistant","content":[{"type":"output_text","text":%%b,"annotations":[],'
    b'"logprobs":[]}]}],"previous_response_id":null,'
    b'"reasoning":{"effort":null,"summary":null},"service_tier":"default",'
    b'"text":{"format":%%b,"verbosity":"medium"},"truncation":"disabled",%%b,'
    b'"usage":{"input_tokens":%%d,'
    b'"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},'
    b'"output_tokens":%%d,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":%%d}}'
) % CREATED


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
