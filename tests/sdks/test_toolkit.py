"""The toolkit, and the programs of articles, with every generation of the `openai` package."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sdks.articles import PROGRAMS
from tests.sdks.conftest import Doors
from tests.sdks.test_python import ROOT

HERE = Path(__file__).parent


def run(script: str, generation: str, *words: str) -> Any:
    """What a script says at its end, with this generation of the client."""
    folder = ROOT / ".venv" / "sdks" / generation
    if generation in "12" and not folder.exists():
        pytest.skip(f"openai {generation}.x is not installed: make sdks")
    done = subprocess.run(
        [sys.executable, HERE / script, *words],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("generation", ["1", "2", "3"])
def test_programs_of_articles_run(generation: str, doors: Doors) -> None:
    """In their original form, on the compat client, which tells today's call for each old one."""
    told = run("articles.py", generation, doors.url, doors.key)
    assert told["version"].split(".")[0] == generation
    assert told["done"] == [program.__name__ for program in PROGRAMS]
    assert told["told"] >= 20


@pytest.mark.parametrize("generation", ["1", "2", "3"])
def test_the_toolkit_takes_what_the_sdk_has(generation: str, doors: Doors) -> None:
    """Its messages go into requests, and what it calls not given is not sent."""
    told = run("toolkit.py", generation, doors.url, doors.key)
    assert told["version"].split(".")[0] == generation
    assert told["body"] == ["messages", "model"]


def test_the_toolkit_needs_nothing_that_it_does_not_declare(doors: Doors) -> None:
    """Build, check, split, submit, collect and read, with its own dependencies alone."""
    told = run("toolkit.py", "none", doors.url, doors.key, "alone")
    assert (told["version"], told["openai"]) == (None, False)
    assert told["body"] == ["messages", "model", "seed"]
