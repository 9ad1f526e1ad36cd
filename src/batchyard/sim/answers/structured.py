"""Answers that are JSON because a format or a tool asks for it."""

import json
from typing import Any

from batchyard.sim.answers.reading import Reading
from batchyard.sim.schema import UnsupportedSchemaError, instance
from batchyard.wire.errors import ApiError

__all__ = ["instance_text"]


def instance_text(schema: Any, reading: Reading, index: int) -> str:
    """JSON that satisfies the schema; without one, an object of our own."""
    if schema is None:
        text = reading.texts.answer(reading.number + index)
        return json.dumps({"simulated": True, "answer": text})
    try:
        made = instance(schema, reading.chance(index), reading.texts)
    except UnsupportedSchemaError as error:
        raise ApiError(
            400,
            f"Invalid schema for response_format: the simulated upstream cannot satisfy {error}.",
            code="invalid_json_schema",
            param="response_format",
        ) from error
    return json.dumps(made)
