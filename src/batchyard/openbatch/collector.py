"""openbatch's collector: the calls of the SDK, each of which appends a line to a file."""

from os import PathLike
from pathlib import Path
from typing import Any

from batchyard.openbatch.manager import BatchJobManager
from batchyard.openbatch.model import ChatCompletionsRequest, EmbeddingsRequest, ResponsesRequest

__all__ = ["BatchCollector", "ChatCompletions", "Embeddings", "Responses"]

_NOT_GIVEN: Any = object()


class _Resource:
    """Requests of one kind for one file."""

    def __init__(
        self, batch_file_path: str | PathLike[str], _manager: BatchJobManager | None = None
    ) -> None:
        self.batch_file_path = Path(batch_file_path)
        self._manager = _manager or BatchJobManager()


class Responses(_Resource):
    """Requests for responses."""

    def parse(self, custom_id: str, model: str, text_format: Any = None, **parameters: Any) -> None:
        """Append a response whose answer has this type."""
        request = ResponsesRequest(model=model, **parameters)
        if text_format is not None:
            request.set_output_structure(text_format)
        self._manager.add(custom_id, request, self.batch_file_path)

    def create(self, custom_id: str, model: str, **parameters: Any) -> None:
        """Append a response."""
        self.parse(custom_id, model, **parameters)


class ChatCompletions(_Resource):
    """Requests for chat completions."""

    def parse(
        self, custom_id: str, model: str, response_format: Any = None, **parameters: Any
    ) -> None:
        """Append a chat completion whose answer has this type."""
        request = ChatCompletionsRequest(model=model, **parameters)
        if isinstance(response_format, dict) and "type" in response_format:
            request.response_format = response_format
        elif response_format is not None:
            request.set_output_structure(response_format)
        self._manager.add(custom_id, request, self.batch_file_path)

    def create(self, custom_id: str, model: str, **parameters: Any) -> None:
        """Append a chat completion."""
        self.parse(custom_id, model, **parameters)


class Embeddings(_Resource):
    """Requests for embeddings."""

    def create(
        self,
        custom_id: str,
        model: str,
        inp: Any = _NOT_GIVEN,
        *,
        input: Any = _NOT_GIVEN,
        **parameters: Any,
    ) -> None:
        """Append embeddings of a text, texts or tokens, as `inp` or as the SDK's `input`."""
        if (inp is _NOT_GIVEN) == (input is _NOT_GIVEN):
            raise TypeError("Embeddings take either inp or input.")
        asked = input if inp is _NOT_GIVEN else inp
        request = EmbeddingsRequest(model=model, input=asked, **parameters)
        self._manager.add(custom_id, request, self.batch_file_path)


class _Chat:
    """Where the SDK has chat completions."""

    def __init__(self, completions: ChatCompletions) -> None:
        self.completions = completions


class BatchCollector:
    """Appends a line to a file for each call of the SDK's that is made on it."""

    def __init__(self, batch_file_path: str | PathLike[str]) -> None:
        manager = BatchJobManager()
        self.responses = Responses(batch_file_path, manager)
        self.chat = _Chat(ChatCompletions(batch_file_path, manager))
        self.embeddings = Embeddings(batch_file_path, manager)
