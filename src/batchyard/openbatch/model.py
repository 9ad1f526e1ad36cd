"""Requests, prompts and their instances, under openbatch's names."""

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

from batchyard.client.building.parameters import check, known_parameters
from batchyard.client.building.parts import (
    chat_messages,
    chat_tools,
    response_input,
    response_tools,
)
from batchyard.client.building.schema import format_of
from batchyard.client.building.template import Template, is_format
from batchyard.openbatch.value import Value

__all__ = [
    "BaseRequest",
    "ChatCompletionsAPIStrategy",
    "ChatCompletionsRequest",
    "EmbeddingInputInstance",
    "EmbeddingsAPIStrategy",
    "EmbeddingsRequest",
    "InputInstance",
    "Message",
    "MessagesInputInstance",
    "PromptTemplate",
    "PromptTemplateInputInstance",
    "ReasoningConfig",
    "RequestStrategy",
    "RequestTemplate",
    "ResponsesAPIStrategy",
    "ResponsesRequest",
    "ReusablePrompt",
]


class Message(Value):
    """One message; its content is a text or parts, and it may have tool calls."""

    _needed: ClassVar[tuple[str, ...]] = ("role",)
    _defaults: ClassVar[dict[str, Any]] = {"content": None}

    def serialize(self) -> dict[str, Any]:
        """The message as the API wants it."""
        return self.model_dump()


class PromptTemplate(Value):
    """Messages whose texts have `{fields}`; other braces need no doubling, but may have it."""

    _needed: ClassVar[tuple[str, ...]] = ("messages",)

    def __init__(self, messages: Sequence[Any], **more: Any) -> None:
        made = [one if isinstance(one, Message) else Message(**one) for one in messages]
        super().__init__(messages=made, **more)
        self._texts: dict[str, Template | None] = {}

    def format(self, **values: Any) -> list[Message]:
        """The messages with their fields filled in."""
        return [
            Message(**{**one.model_dump(), "content": self._filled(one.content, values)})
            for one in self.messages
        ]

    def _filled(self, content: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(content, str):
            if content not in self._texts:
                # Braces that are doubled for `str.format` must come out single, as they did.
                doubled = is_format(content) and ("{{" in content or "}}" in content)
                self._texts[content] = None if doubled else Template(content)
            template = self._texts[content]
            return content.format(**values) if template is None else template.render(values)
        if isinstance(content, list):
            return [self._filled(one, values) for one in content]
        if isinstance(content, dict) and "text" in content:
            return {**content, "text": self._filled(content["text"], values)}
        return content


class ReusablePrompt(Value):
    """A prompt that is stored at the API, with its variables."""

    _needed: ClassVar[tuple[str, ...]] = ("id",)
    _defaults: ClassVar[dict[str, Any]] = {"version": None, "variables": None}


class ReasoningConfig(Value):
    """How much a model reasons; which efforts there are is the model's affair."""

    _defaults: ClassVar[dict[str, Any]] = {"effort": "medium", "summary": None}


class InputInstance(Value):
    """One line to be: its id, and parameters of its own."""

    _needed: ClassVar[tuple[str, ...]] = ("id",)
    _defaults: ClassVar[dict[str, Any]] = {"instance_request_options": None}


class MessagesInputInstance(InputInstance):
    """A line given by its messages."""

    _needed: ClassVar[tuple[str, ...]] = ("id", "messages")


class PromptTemplateInputInstance(InputInstance):
    """A line given by the values for a prompt's fields."""

    _needed: ClassVar[tuple[str, ...]] = ("id", "prompt_value_mapping")


class EmbeddingInputInstance(InputInstance):
    """A line given by what is to be embedded: a text, texts, or tokens."""

    _needed: ClassVar[tuple[str, ...]] = ("id", "input")


class BaseRequest(Value):
    """A request's parameters: all are kept, values that no model takes are refused."""

    url = ""
    _defaults: ClassVar[dict[str, Any]] = {"model": "gpt-4.1"}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        check(self.url, self.__dict__)

    def __getattr__(self, name: str) -> Any:
        # Parameters that were not given read as None, as they did with openbatch.
        if name in known_parameters(self.url):
            return None
        return super().__getattr__(name)

    def to_dict(self) -> dict[str, Any]:
        """The body, without what is None."""
        return self.model_dump(exclude_none=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """The same with some parameters changed; they are checked, unlike openbatch's."""
        own = type(self)
        return own(**{**self.values(deep=deep), **(update or {})})


class _TextRequest(BaseRequest):
    """What chat completions and responses share."""

    def set_input_messages(self, messages: Sequence[Any]) -> None:
        """Ask with these messages."""
        said = [one.serialize() if isinstance(one, Message) else one for one in messages]
        self._set_messages(said)

    def set_output_structure(self, output_type: Any) -> None:
        """Ask for an answer of this type, or of this JSON Schema."""
        raise NotImplementedError

    def _set_messages(self, said: list[Any]) -> None:
        raise NotImplementedError


class ResponsesRequest(_TextRequest):
    """A request for `/v1/responses`."""

    url = "/v1/responses"
    input: Any
    prompt: Any
    text: Any
    _defaults: ClassVar[dict[str, Any]] = {
        "model": "gpt-4.1",
        "input": None,
        "prompt": None,
        "text": None,
    }

    def set_output_structure(self, output_type: Any) -> None:
        """Ask for an answer of this type, or of this JSON Schema."""
        self.text = {**(self.text or {}), "format": format_of(output_type).for_responses()}

    def _set_messages(self, said: list[Any]) -> None:
        self.input = said

    def to_dict(self) -> dict[str, Any]:
        """The body, without what is None."""
        body = super().to_dict()
        if "input" in body:
            body["input"] = response_input(body["input"])
        return {**body, "tools": response_tools(body["tools"])} if body.get("tools") else body


class ChatCompletionsRequest(_TextRequest):
    """A request for `/v1/chat/completions`."""

    url = "/v1/chat/completions"
    messages: Any
    response_format: Any
    _defaults: ClassVar[dict[str, Any]] = {
        "model": "gpt-4.1",
        "messages": [],
        "response_format": None,
    }

    def set_output_structure(self, output_type: Any) -> None:
        """Ask for an answer of this type, or of this JSON Schema."""
        self.response_format = format_of(output_type).for_chat()

    def _set_messages(self, said: list[Any]) -> None:
        self.messages = said

    def to_dict(self) -> dict[str, Any]:
        """The body, without what is None."""
        body = super().to_dict()
        if "messages" in body:
            body["messages"] = chat_messages(body["messages"])
        return {**body, "tools": chat_tools(body["tools"])} if body.get("tools") else body


class EmbeddingsRequest(BaseRequest):
    """A request for `/v1/embeddings`."""

    url = "/v1/embeddings"
    input: Any
    _defaults: ClassVar[dict[str, Any]] = {"model": "gpt-4.1", "input": ""}

    def set_input(self, inp: Any) -> None:
        """Embed this: a text, texts, or tokens."""
        self.input = inp


class RequestStrategy:
    """How a body becomes a line."""

    url = ""

    def create_request(self, custom_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """The line of a body."""
        return {"custom_id": custom_id, "method": "POST", "url": self.url, "body": body}


class ResponsesAPIStrategy(RequestStrategy):
    """Lines for responses."""

    url = "/v1/responses"


class ChatCompletionsAPIStrategy(RequestStrategy):
    """Lines for chat completions."""

    url = "/v1/chat/completions"


class EmbeddingsAPIStrategy(RequestStrategy):
    """Lines for embeddings."""

    url = "/v1/embeddings"


_KINDS: dict[str, type[BaseRequest]] = {
    one.__name__: one for one in (ResponsesRequest, ChatCompletionsRequest, EmbeddingsRequest)
}


class RequestTemplate(Value):
    """A prompt and a request under a name; what is saved comes back whole."""

    _needed: ClassVar[tuple[str, ...]] = ("name", "description", "prompt", "request")
    _defaults: ClassVar[dict[str, Any]] = {"metadata": None}

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a `.json` file."""
        target = Path(path)
        if target.suffix != ".json":
            raise ValueError('RequestTemplate has to be saved as ".json" file.')
        target.parent.mkdir(parents=True, exist_ok=True)
        said = {"kind": type(self.request).__name__, **self.model_dump()}
        target.write_text(json.dumps(said, indent=4, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read it back; files of openbatch, which do not say their kind, are responses'."""
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        kind = _KINDS[found.pop("kind", "ResponsesRequest")]
        prompt = PromptTemplate if "messages" in found["prompt"] else ReusablePrompt
        found |= {"prompt": prompt(**found["prompt"]), "request": kind(**found["request"])}
        return cls(**found)
