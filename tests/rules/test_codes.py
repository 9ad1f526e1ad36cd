"""The table of codes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.rules.codes import CODES, explain

SOURCE = Path(__file__).parent.parent.parent / "src" / "batchyard"
ROOMS = ("wire", "rules", "flow", "server", "places", "client")
# Who makes something with a code as its first or second word.
MAKERS = {"Fault", "BatchError", "Trouble", "Found"}
# Where reasons are found for why something stands still; a code may be followed by its detail.
REASONING = (
    *("rules/failures.py", "rules/standing.py", "rules/readiness.py", "server/condition.py"),
    *("flow/failing.py", "flow/lane_standings.py", "flow/recording.py", "flow/shift.py"),
)
REASON = re.compile(
    r"((?:upstream|lane|disk|store|data|no|paused|waiting|retry|behind)_[a-z_]+)(?:: .*)?"
)


def written() -> Iterator[str]:
    """The codes that stand in the source, wherever a code is given by its name."""
    for path in (path for room in ROOMS for path in (SOURCE / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "code":
                found: list[ast.expr] = [node.value]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS:
                found = node.args[:1]
            else:
                continue
            for one in found:
                if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value:
                    yield one.value


def reasons() -> Iterator[str]:
    """The codes of reasons, wherever they stand in a text."""
    for name in REASONING:
        for node in ast.walk(ast.parse((SOURCE / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = REASON.fullmatch(node.value)
                if found is not None:
                    yield found[1]


@pytest.mark.parametrize("code", sorted({*written(), *reasons()}))
def test_every_code_is_explained(code: str) -> None:
    """Whatever code we write, the table knows."""
    assert explain(code) is not None


@pytest.mark.parametrize("code", CODES)
def test_explanations_are_sentences(code: str) -> None:
    """Both halves begin with a capital or a name and end with a full stop."""
    found = CODES[code]
    assert found.meaning.endswith(".")
    assert found.remedy.endswith((".", "?"))


def test_other_names_are_known() -> None:
    """Statuses, and what others call the same."""
    assert explain("429") == CODES["rate_limit_exceeded"]
    assert explain("BATCH_CANCELED") == CODES["batch_cancelled"]
    assert explain("nothing") is None
