"""Texts are packed into lines of embeddings, and their vectors come apart again."""

import base64
import json
from array import array
from pathlib import Path
from typing import Any

import pytest

import batchyard
from batchyard.client.building.build import PackError, Request, pack, unpack


def answered(request: Request, vectors: list[Any]) -> dict[str, Any]:
    """An output line for a request; its vectors come last first."""
    found = [{"index": index, "embedding": one} for index, one in enumerate(vectors)]
    return {
        "custom_id": request.custom_id,
        "response": {"status_code": 200, "body": {"data": found[::-1]}},
    }


def test_vectors_come_back_at_the_places_of_their_texts() -> None:
    """Whatever the order of lines and vectors, each text has its own, base64 or not."""
    texts: list[Any] = ["a", [1, 2], "ccc", "dddd", "e"]
    made = list(pack(texts, model="m1", per_line=3, bytes_max=7, dimensions=1))
    assert [one.body["input"] for one in made] == [["a", [1, 2], "ccc"], ["dddd", "e"]]
    encoded = [base64.b64encode(array("f", [one]).tobytes()).decode() for one in (3.0, 4.0)]
    lines = [answered(made[1], encoded), answered(made[0], [[0.0], [1.0], [2.0]])]
    assert dict(unpack(lines)) == {0: [0.0], 1: [1.0], 2: [2.0], 3: [3.0], 4: [4.0]}


def test_vectors_that_do_not_add_up_raise() -> None:
    """A line with a vector too few is told; one without an answer leaves its places out."""
    first, second = pack(["a", "b", "c", "d"], model="m1", per_line=2)
    with pytest.raises(PackError, match="1 vectors for 2 texts"):
        dict(unpack([answered(first, [[0.0]])]))
    failed: dict[str, Any] = {"custom_id": second.custom_id, "response": None, "error": {}}
    assert dict(unpack([answered(first, [[0.0], [1.0]]), failed])) == {0: [0.0], 1: [1.0]}
    with pytest.raises(PackError, match="position 1 is empty"):
        list(pack(["a", ""], model="m1"))


@pytest.mark.parametrize(
    ("to", "per_line", "lines"),
    [
        ("openai", None, [130]),
        ("http://127.0.0.1:9/v1", None, [64, 64, 2]),
        ("http://127.0.0.1:9/v1", 100, [100, 30]),
        ("openai", 65, [65, 65]),
    ],
)
def test_a_server_of_ones_own_gets_few_texts_in_a_line(
    tmp_path: Path, to: str, per_line: int | None, lines: list[int]
) -> None:
    """It may compute one after the other; whoever knows better says how many."""
    texts = [f"text {number}" for number in range(130)]
    terms: dict[str, Any] = {"to": to, "key": "k", "cache": False, "submit": False}
    folder = tmp_path / "campaign"
    batchyard.embed(texts, model="m1", per_line=per_line, folder=folder, **terms)
    asked = [json.loads(line) for line in (folder / "input.jsonl").read_text().splitlines()]
    assert lines == [len(line["body"]["input"]) for line in asked]


def test_a_line_without_texts_is_no_line() -> None:
    """None of none is asked for, before anything is made."""
    with pytest.raises(ValueError, match="per_line is at least 1"):
        batchyard.embed(["a"], model="m1", per_line=0)
