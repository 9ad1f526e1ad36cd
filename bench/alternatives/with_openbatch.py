"""A batch file by openbatch: `python -m bench.alternatives.with_openbatch KIND LINES OUT`."""

import sys
from collections.abc import Callable
from pathlib import Path

from openbatch import (
    BatchCollector,
    BatchJobManager,
    EmbeddingInputInstance,
    EmbeddingsRequest,
    Message,
    PromptTemplate,
    PromptTemplateInputInstance,
    ResponsesRequest,
    validate_batch_file,
)

from bench.wanted import FILLER, Verdict

__all__ = ["KINDS"]


def plain(count: int, path: Path) -> None:
    """A response for each number."""
    collector = BatchCollector(path)
    for number in range(count):
        collector.responses.create(
            custom_id=f"request-{number}",
            model="m1",
            instructions="Be brief.",
            input=f"{number} {FILLER}",
            max_output_tokens=200,
        )


def structured(count: int, path: Path) -> None:
    """A response for each number, whose answer has a type."""
    collector = BatchCollector(path)
    for number in range(count):
        collector.responses.parse(
            custom_id=f"request-{number}",
            model="m1",
            text_format=Verdict,
            instructions="Be brief.",
            input=f"{number} {FILLER}",
        )


def templated(count: int, path: Path) -> None:
    """A template, filled in for each row."""
    prompt = PromptTemplate(
        messages=[
            Message(role="system", content="Be brief."),
            Message(role="user", content="Classify {number}: {text}"),
        ]
    )
    rows = (
        PromptTemplateInputInstance(
            id=f"request-{number}",
            prompt_value_mapping={"number": str(number), "text": FILLER},
        )
        for number in range(count)
    )
    shared = ResponsesRequest(model="m1", max_output_tokens=200)
    BatchJobManager().add_templated_instances(prompt, shared, rows, path)


def embeddings(count: int, path: Path) -> None:
    """Embeddings of one text in a line."""
    rows = (
        EmbeddingInputInstance(id=f"request-{number}", input=f"{number} {FILLER}")
        for number in range(count)
    )
    BatchJobManager().add_embedding_requests(rows, EmbeddingsRequest(model="m1"), path)


def check(_count: int, path: Path) -> None:
    """What is wrong with a file."""
    result = validate_batch_file(path)
    assert result.is_valid, result


KINDS: dict[str, Callable[[int, Path], None]] = {
    "plain": plain,
    "structured": structured,
    "templated": templated,
    "embeddings": embeddings,
    "check": check,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
