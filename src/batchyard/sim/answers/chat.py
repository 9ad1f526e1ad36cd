"""Chat completions, with structured outputs and calls of tools."""

from typing import Any

from batchyard.sim.answers.reading import CREATED, Reading, answer_json
from batchyard.sim.answers.structured import instance_text
from batchyard.sim.chance import mix
from batchyard.sim.texts import cut, input_tokens
from batchyard.wire.errors import ApiError

__all__ = ["answer_chat"]


def answer_chat(reading: Reading) -> tuple[bytes, int]:
    """A `chat.completion` with `n` choices."""
    fields = reading.fields
    if not isinstance(fields["messages"], list) or not fields["messages"]:
        raise ApiError(400, "Invalid 'messages': expected a non-empty array.", param="messages")
    tokens_max = reading.tokens_max("max_completion_tokens", "max_tokens")
    choices, written = [], 0
    for index in range(reading.choices()):
        choice, tokens = _choose(reading, index, tokens_max)
        choices.append(choice)
        written += tokens
    read = input_tokens(fields["messages"])
    answer = {
        "id": f"chatcmpl-{reading.number:016x}",
        "object": "chat.completion",
        "created": CREATED,
        "model": fields["model"],
        "choices": choices,
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "simulated",
    }
    return answer_json(answer), written


def _choose(reading: Reading, index: int, tokens_max: int | None) -> tuple[dict[str, Any], int]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    tool = _tool_to_call(reading.fields)
    if tool is not None:
        arguments = instance_text(tool.get("parameters") or {"type": "object"}, reading, index)
        text, tokens, is_whole = cut(arguments, tokens_max)
        call = {
            "id": f"call_{mix(index, reading.number):016x}",
            "type": "function",
            "function": {"name": tool["name"], "arguments": text},
        }
        message["tool_calls"] = [call]
        finish = "tool_calls"
    else:
        text, tokens, is_whole = cut(_content(reading, index), tokens_max)
        message["content"] = text
        message["annotations"] = []
        finish = "stop"
    choice = {
        "index": index,
        "message": message,
        "logprobs": None,
        "finish_reason": finish if is_whole else "length",
    }
    return choice, tokens


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
    tools = fields.get("tools")
    if choice in (None, "none", "auto") or not isinstance(tools, list):
        return None
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    named = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    for function in functions:
        if isinstance(function, dict) and "name" in function and named in (None, function["name"]):
            return function
    raise ApiError(400, "Tool choice names no tool that is given.", param="tool_choice")
