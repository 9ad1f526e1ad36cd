"""Chat completions, with structured outputs and calls of tools."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

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
    answer = _ChatCompletion(
        f"chatcmpl-{reading.number:016x}",
        fields["model"],
        choices,
        _Usage(read, written, read + written),
    )
    return answer_json(answer), written


class _Message(Struct, gc=False):
    content: str | None
    role: str = "assistant"
    refusal: None = None
    annotations: tuple[()] = ()
    tool_calls: list[dict[str, Any]] | UnsetType = UNSET


class _Choice(Struct, gc=False):
    index: int
    message: _Message
    finish_reason: str
    logprobs: None = None


class _InputDetails(Struct, frozen=True):
    cached_tokens: int = 0
    audio_tokens: int = 0


class _OutputDetails(Struct, frozen=True):
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class _Usage(Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _InputDetails = _InputDetails()
    completion_tokens_details: _OutputDetails = _OutputDetails()


class _ChatCompletion(Struct, gc=False):
    """Structs, where other answers are dicts: this one has to be fast."""

    id: str
    model: str
    choices: list[_Choice]
    usage: _Usage
    object: str = "chat.completion"
    created: int = CREATED
    tier: str = field(default="default", name="service_tier")
    system_fingerprint: str = "simulated"


def _choose(reading: Reading, index: int, tokens_max: int | None) -> tuple[_Choice, int]:
    tool = _tool_to_call(reading.fields)
    if tool is None:
        text, tokens, is_whole = cut(_content(reading, index), tokens_max)
        return _Choice(index, _Message(text), "stop" if is_whole else "length"), tokens
    arguments = instance_text(tool.get("parameters") or {"type": "object"}, reading, index)
    text, tokens, is_whole = cut(arguments, tokens_max)
    call = {
        "id": f"call_{mix(index, reading.number):016x}",
        "type": "function",
        "function": {"name": tool["name"], "arguments": text},
    }
    message = _Message(None, tool_calls=[call])
    return _Choice(index, message, "tool_calls" if is_whole else "length"), tokens


def _content(reading: Reading, index: int) -> str:
    form = reading.fields.get("response_format")
    if form is None:
        return reading.texts.answer(mix(index, reading.number) if index else reading.number)
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
