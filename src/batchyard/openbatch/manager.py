"""openbatch's manager: lines of a prompt and many instances, appended to a file."""

import warnings
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from batchyard.openbatch.appending import Appending
from batchyard.openbatch.model import (
    BaseRequest,
    ChatCompletionsRequest,
    EmbeddingInputInstance,
    EmbeddingsRequest,
    PromptTemplate,
    PromptTemplateInputInstance,
    ResponsesRequest,
    ReusablePrompt,
)

__all__ = ["BatchJobManager"]

Target = str | PathLike[str]


class BatchJobManager:
    """Appends requests to files; `ensure_ascii` writes other characters as escapes."""

    def __init__(self, ensure_ascii: bool = True) -> None:
        self.ensure_ascii = ensure_ascii
        self._files: dict[Target, Appending] = {}

    def add_templated_instances(
        self,
        prompt: PromptTemplate | ReusablePrompt,
        common_request: BaseRequest,
        input_instances: Iterable[PromptTemplateInputInstance],
        save_file_path: Target,
        suppress_warnings: bool = False,
    ) -> None:
        """Append a line for each instance: the prompt filled in, its own options checked."""
        if isinstance(common_request, EmbeddingsRequest):
            raise ValueError("Embeddings API is not supported with templated instances.")
        if not isinstance(common_request, ResponsesRequest | ChatCompletionsRequest):
            raise ValueError(f"Unsupported request type: {type(common_request)}")
        if Path(save_file_path).exists() and not suppress_warnings:
            warnings.warn(
                f"File {save_file_path} already exists. New contents are appended to the file; "
                "lines that it has already are not written again.",
                category=RuntimeWarning,
                stacklevel=2,
            )
        for instance in input_instances:
            request = common_request.model_copy(update=instance.instance_request_options)
            if isinstance(prompt, ReusablePrompt):
                if not isinstance(request, ResponsesRequest):
                    raise ValueError("Reusable prompts can only be used with ResponsesRequest.")
                told = {"id": prompt.id, "version": prompt.version}
                request.prompt = {
                    **{name: value for name, value in told.items() if value is not None},
                    "variables": {**(prompt.variables or {}), **instance.prompt_value_mapping},
                }
            else:
                request.set_input_messages(prompt.format(**instance.prompt_value_mapping))
            self.add(instance.id, request, save_file_path)

    def add_embedding_requests(
        self,
        inputs: Iterable[EmbeddingInputInstance],
        common_request: EmbeddingsRequest,
        save_file_path: Target,
    ) -> None:
        """Append a line for each input."""
        for instance in inputs:
            request = common_request.model_copy(update=instance.instance_request_options)
            request.set_input(instance.input)
            self.add(instance.id, request, save_file_path)

    def add(self, custom_id: str, request: BaseRequest, save_file_path: Target) -> None:
        """Append one line; raises ValueError for a request without a body or an id used twice."""
        if isinstance(request, ResponsesRequest):
            if request.input is None and request.prompt is None:
                raise ValueError("Responses request must define either an input or a prompt.")
        elif isinstance(request, ChatCompletionsRequest):
            if request.messages is None:
                raise ValueError("Chat Completions request must define messages.")
        elif not isinstance(request, EmbeddingsRequest):
            raise ValueError(f"Unsupported request type: {type(request)}")
        elif request.input is None:
            raise ValueError("Embeddings request must define an input.")
        file = self._files.get(save_file_path)
        if file is None:
            # The same file may be called by a text and by a path.
            path = Path(save_file_path)
            file = self._files.get(path) or Appending(path)
            self._files[path] = self._files[save_file_path] = file
        file.add(custom_id, request.url, request.to_dict(), self.ensure_ascii)
