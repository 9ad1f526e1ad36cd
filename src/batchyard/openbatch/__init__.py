"""The calls of openbatch 0.0.4, unchanged, without its faults; new code uses `batchyard.build`."""

from batchyard.openbatch.collector import BatchCollector
from batchyard.openbatch.manager import BatchJobManager
from batchyard.openbatch.model import (
    ChatCompletionsRequest,
    EmbeddingInputInstance,
    EmbeddingsRequest,
    Message,
    MessagesInputInstance,
    PromptTemplate,
    PromptTemplateInputInstance,
    ReasoningConfig,
    RequestTemplate,
    ResponsesRequest,
    ReusablePrompt,
)
from batchyard.openbatch.validation import quick_validate, validate_batch_file

__all__ = [
    "BatchCollector",
    "BatchJobManager",
    "ChatCompletionsRequest",
    "EmbeddingInputInstance",
    "EmbeddingsRequest",
    "Message",
    "MessagesInputInstance",
    "PromptTemplate",
    "PromptTemplateInputInstance",
    "ReasoningConfig",
    "RequestTemplate",
    "ResponsesRequest",
    "ReusablePrompt",
    "quick_validate",
    "validate_batch_file",
]
