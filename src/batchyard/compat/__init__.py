"""The official client, plus the calls of old articles that it never had; new code needs none."""

try:
    from batchyard.compat.awaited import AsyncBatches, AsyncOpenAI
    from batchyard.compat.plain import Batches, OpenAI
    from batchyard.compat.shared import Batch, NotEndedError, Result, Results
except ImportError as error:
    raise ImportError(
        "batchyard.compat is OpenAI's client and more: pip install 'batchyard[openai]'."
    ) from error

__all__ = [
    "AsyncBatches",
    "AsyncOpenAI",
    "Batch",
    "Batches",
    "NotEndedError",
    "OpenAI",
    "Result",
    "Results",
]
