"""The parameters of each endpoint under the SDK's own names, and what is wrong with one."""

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, TypedDict

from msgspec import Struct

__all__ = [
    "ChatParameters",
    "CompletionParameters",
    "EmbeddingParameters",
    "ImageParameters",
    "ModerationParameters",
    "ParameterError",
    "ResponseParameters",
    "UnknownParameterWarning",
    "check",
    "known_parameters",
]

Metadata = Mapping[str, str]
Stop = str | Sequence[str]


class _TextParameters(TypedDict, total=False):
    """What chat completions and responses share."""

    metadata: Metadata
    parallel_tool_calls: bool
    prompt_cache_key: str
    prompt_cache_options: Mapping[str, Any]
    prompt_cache_retention: str
    safety_identifier: str
    service_tier: str
    store: bool
    stream: bool
    stream_options: Mapping[str, Any]
    moderation: Mapping[str, Any]
    temperature: float
    tool_choice: str | Mapping[str, Any]
    top_logprobs: int
    top_p: float
    user: str


class ChatParameters(_TextParameters, total=False):
    """What a chat completion may be asked with, beside model, messages and what has a type."""

    audio: Mapping[str, Any]
    frequency_penalty: float
    function_call: str | Mapping[str, Any]
    functions: Sequence[Mapping[str, Any]]
    logit_bias: Mapping[str, int]
    logprobs: bool
    max_completion_tokens: int
    max_tokens: int
    modalities: Sequence[str]
    n: int
    prediction: Mapping[str, Any]
    presence_penalty: float
    reasoning_effort: str
    seed: int
    stop: Stop
    verbosity: str
    web_search_options: Mapping[str, Any]


class ResponseParameters(_TextParameters, total=False):
    """What a response may be asked with, beside model, input and what has a type."""

    access_programs: Any
    background: bool
    context_management: Sequence[Mapping[str, Any]]
    conversation: str | Mapping[str, Any]
    image: Any
    include: Sequence[str]
    instructions: str
    max_output_tokens: int
    max_tool_calls: int
    previous_response_id: str
    prompt: Mapping[str, Any]
    reasoning: Any
    text: Mapping[str, Any]
    truncation: str


class EmbeddingParameters(TypedDict, total=False):
    """What embeddings may be asked with, beside model and input."""

    dimensions: int
    encoding_format: str
    user: str


class CompletionParameters(TypedDict, total=False):
    """What a completion may be asked with, beside model and prompt."""

    best_of: int
    echo: bool
    frequency_penalty: float
    logit_bias: Mapping[str, int]
    logprobs: int
    max_tokens: int
    n: int
    presence_penalty: float
    seed: int
    stop: Stop
    stream: bool
    stream_options: Mapping[str, Any]
    suffix: str
    temperature: float
    top_p: float
    user: str


class ModerationParameters(TypedDict, total=False):
    """What a moderation may be asked with, beside its input."""

    model: str


class ImageParameters(TypedDict, total=False):
    """What images may be asked with, beside the prompt."""

    background: str
    complexity: str
    frame_count: int
    frame_duration_ms: int
    image: Any
    images: Sequence[Mapping[str, Any]]
    input_fidelity: str
    markup: Any
    mask: Any
    model: str
    moderation: str
    n: int
    output_compression: int
    output_format: str
    partial_images: int
    quality: str
    response_format: str
    safety_identifier: str
    size: str
    stream: bool
    style: str
    svg: Any
    user: str


class ParameterError(ValueError):
    """A parameter has a value that no model takes."""


class UnknownParameterWarning(UserWarning):
    """A parameter is not known and looks like a misspelt one; it is sent all the same."""


def check(url: str, parameters: Mapping[str, Any]) -> None:
    """Raise ParameterError for a value that no model takes, and warn of what looks misspelt.

    Nothing is ever left out: a name that nobody knows is what a server of one's own may want.
    """
    typos, ruled = _looked_up(url, tuple(parameters))
    for name, rule in ruled:
        value = parameters[name]
        if value is not None and not rule.fits(value):
            raise ParameterError(f"{name} must be {rule.text}, not {value!r}.")
    for name, meant in typos:
        warnings.warn(
            f"{url} has no parameter '{name}'; did you mean '{meant}'? It is sent as it is.",
            UnknownParameterWarning,
            stacklevel=_depth_outside(),
        )


def known_parameters(url: str) -> frozenset[str]:
    """The names that the SDK has for an endpoint."""
    return _KNOWN.get(url, frozenset())


class _Rule(Struct, frozen=True):
    """The range of a parameter, in numbers and in words."""

    text: str
    kinds: tuple[type, ...]
    least: float = float("-inf")
    most: float = float("inf")

    def fits(self, value: object) -> bool:
        # True is an int to Python, but no number to an API; numpy's numbers are none of ours.
        if isinstance(value, bool) and bool not in self.kinds:
            return False
        if not isinstance(value, self.kinds):
            return hasattr(value, "__index__") and int not in self.kinds
        return self.least <= value <= self.most  # type: ignore[operator]


def _number(least: float, most: float) -> _Rule:
    return _Rule(f"a number from {least:g} to {most:g}", (int, float), least, most)


_COUNT = _Rule("a whole number of 1 or more", (int,), 1)
_SWITCH = _Rule("True or False", (bool,))
# What holds for every model; what only some models want is theirs to refuse.
_RULES = {
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "n": _COUNT,
    "best_of": _COUNT,
    "max_tokens": _COUNT,
    "max_completion_tokens": _COUNT,
    "max_output_tokens": _COUNT,
    "max_tool_calls": _COUNT,
    "dimensions": _COUNT,
    "top_logprobs": _Rule("a whole number from 0 to 20", (int,), 0, 20),
    "seed": _Rule("a whole number", (int,)),
    "store": _SWITCH,
    "parallel_tool_calls": _SWITCH,
    "stream": _Rule("False, for a batch cannot stream", (bool,), 0, 0),
}
# What vLLM, SGLang, llama.cpp and Ollama take beside OpenAI's parameters.
_OF_SERVERS = frozenset(
    [
        "add_generation_prompt",
        "allowed_token_ids",
        "bad_words",
        "cache_prompt",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "detokenize",
        "dry_multiplier",
        "ebnf",
        "encoding_format",
        "format",
        "grammar",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "id_slot",
        "ignore_eos",
        "include_stop_str_in_output",
        "input_type",
        "json_schema",
        "keep_alive",
        "length_penalty",
        "lora_path",
        "media_io_kwargs",
        "min_new_tokens",
        "min_p",
        "min_tokens",
        "mirostat",
        "mm_processor_kwargs",
        "n_probs",
        "options",
        "priority",
        "prompt_logprobs",
        "provider",
        "regex",
        "repeat_penalty",
        "repetition_penalty",
        "return_tokens_as_token_ids",
        "samplers",
        "separate_reasoning",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop_token_ids",
        "structured_outputs",
        "task",
        "thinking",
        "top_a",
        "top_k",
        "transforms",
        "truncate_prompt_tokens",
        "typical_p",
        "use_beam_search",
    ]
)
_KNOWN: dict[str, frozenset[str]] = {
    url: frozenset(known.__annotations__) | {"model"} | set(own)
    for url, known, own in (
        (
            "/v1/chat/completions",
            ChatParameters,
            ("messages", "response_format", "tools"),
        ),
        ("/v1/responses", ResponseParameters, ("input", "tools")),
        ("/v1/embeddings", EmbeddingParameters, ("input",)),
        ("/v1/completions", CompletionParameters, ("prompt",)),
        ("/v1/moderations", ModerationParameters, ("input",)),
        ("/v1/images/generations", ImageParameters, ("prompt",)),
        ("/v1/images/edits", ImageParameters, ("prompt",)),
    )
}


@lru_cache(maxsize=4_096)
def _looked_up(
    url: str, names: tuple[str, ...]
) -> tuple[list[tuple[str, str]], list[tuple[str, _Rule]]]:
    """Which of these names look misspelt, and which have a rule."""
    known = _KNOWN.get(url, frozenset())
    typos = []
    for name in names:
        if name not in known and name not in _OF_SERVERS:
            meant = _closest(name, known)
            typos += [(name, meant)] if meant else []
    return typos, [(name, _RULES[name]) for name in names if name in _RULES]


def _closest(name: str, known: Iterable[str]) -> str | None:
    folded = {one.replace("_", ""): one for one in known}
    found = get_close_matches(name.lower().replace("_", ""), folded, n=1, cutoff=0.8)
    return folded[found[0]] if found else None


def _depth_outside() -> int:
    """How far up the stack the first caller is that is none of ours."""
    depth = 2
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("batchyard."):
        frame, depth = frame.f_back, depth + 1
    return depth
