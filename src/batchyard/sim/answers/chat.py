"""Chat completions, with structured outputs and calls of tools."""

from typing import Any

from batchyard.sim.answers.reading import CREATED, Reading, answer_json
from batchyard.sim.answers.structured import instance_text
from batchyard.sim.chance import mix
from batchyard.sim.texts import cut, input_tokens
from batchyard.wire.errors import ApiError

__all__ = ["answer_chat"]


def answer_chat(reading: Reading) -> tuple[bytes, int]:
    """A `chat.completion` with `n` choices, made as text for it has to be fast."""
    fields = reading.fields
    messages = fields["messages"]
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "Invalid 'messages': expected a non-empty array.", param="messages")
    tokens_max = reading.tokens_max("max_completion_tokens", "max_tokens")
    choices, written = [], 0
    for index in range(reading.choices()):
        choice, tokens = _choose(reading, index, tokens_max)
        choices.append(choice)
        written += tokens
    read = input_tokens(messages)
    model = answer_json(fields["model"])
    said = (reading.number, model, b",".join(choices), read, written, read + written)
    return _ANSWER % said, written


_ANSWER = (
    b'{"id":"chatcmpl-%%016x","object":"chat.completion","created":%d,"model":%%b,"choices":[%%b],'
    b'"usage":{"prompt_tokens":%%d,"completion_tokens":%%d,"total_tokens":%%d,'
    b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},'
    b'"service_tier":"default","system_fingerprint":"simulated"}'
) % CREATED
_CHOICE = (
    b'{"index":%d,"message":{"role":"assistant","content":%b,"refusal":null,"annotations":[]%b},'
    b'"finish_reason":"%b","logprobs":null}'
)


def _choose(reading: Reading, index: int, tokens_max: int | None) -> tuple[bytes, int]:
    tool = _tool_to_call(reading.fields)
    if tool is None:
        text, tokens, is_whole = cut(_content(reading, index), tokens_max)
        return _CHOICE % (index, answer_json(text), b"", b"stop" if is_whole else b"length"), tokens
    arguments = instance_text(tool.get("parameters") or {"type": "object"}, reading, index)
    text, tokens, is_whole = cut(arguments, tokens_max)
    call = {
        "id": f"call_{mix(index, reading.number):016x}",
        "type": "function",
        "function": {"name": tool["name"], "arguments": text},
    }
    calls = b',"tool_calls":[%b]' % answer_json(call)
    reason = b"tool_calls" if is_whole else b"length"
    return _CHOICE % (index, b"null", calls, reason), tokens


def _content(reading: Reading, index: int) -> str:
    form = reading.fields.get("response_format")
    if isinstance(form, dict) and form.get("type") in ("json_schema", "json_object"):
        schema = None
        if form["type"] == "json_schema":
            wrapped = form.get("json_schema")
            schema = wrapped.get("schema") if isinstance(wrapped, dict) else None
            if schema is None:
                raise ApiError.missing("response_format.json_schema.schema")
        return instance_text(schema, reading, index)
    return reading.texts.answer(mix(index, reading.number) if index else reading.number)


def _tool_to_call(fields: dict[str, Any]) -> dict[str, Any] | None:
    """The function that `tool_choice` makes the model call; None where text is an answer too."""
    choice = fields.get("tool_choice")
    if choice in (None, "none", "auto") or not isinstance(tools := fields.get("tools"), list):
        return None
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    named = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    for function in functions:
        if isinstance(function, dict) and "name" in function and named in (None, function["name"]):
            return function
    raise ApiError(400, "Tool choice names no tool that is given.", param="tool_choice")
