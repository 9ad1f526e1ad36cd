"""What is said of enqueued tokens: the refusal of a batch, and what is free of a quota."""

from collections.abc import Sequence
from typing import Protocol

from batchyard.wire.ids import ORGANIZATION
from batchyard.wire.objects import BatchError

__all__ = ["Short", "free_tokens", "refusal"]


class Short(Protocol):
    """A model of which a batch asks for more tokens than are free."""

    @property
    def model(self) -> str:
        """Its name."""
        ...

    @property
    def limit(self) -> int:
        """Tokens that may be enqueued at once."""
        ...

    @property
    def used(self) -> int:
        """Tokens that other batches hold."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens that the batch needs."""
        ...


def refusal(lacking: Sequence[Short]) -> tuple[BatchError, ...]:
    """OpenAI's error for a batch that is over a quota, and the figures, one for each model."""
    return tuple(
        BatchError(
            code="token_limit_exceeded",
            message=f"Enqueued token limit reached for {one.model} in organization "
            f"{ORGANIZATION}. Limit: {one.limit:,} enqueued tokens. Please try again once some "
            f"in_progress batches have been completed. {_figures(one)}",
        )
        for one in lacking
    )


def _figures(one: Short) -> str:
    if one.tokens > one.limit:
        return f"This batch alone needs {one.tokens:,}: split its input file."
    return f"Used: {one.used:,}. This batch needs {one.tokens:,}."


def free_tokens(limit: int | None, used: int) -> int | None:
    """What may be enqueued now; None is no limit. A limit that was lowered leaves nothing free."""
    return None if limit is None else max(0, limit - used)
