"""Every generation of the `openai` package drives all that it can, with strict validation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdks.conftest import Doors

ROOT = Path(__file__).parent.parent.parent
SCRIPT = Path(__file__).with_name("drive.py")


@pytest.mark.parametrize("generation", ["1", "2", "3"])
def test_the_client_drives_everything_it_can(generation: str, doors: Doors) -> None:
    """Each method of each resource of ours was called, and did what OpenAI's does."""
    folder = ROOT / ".venv" / "sdks" / generation
    # The newest generation is the one that all other tests use.
    if generation != "3" and not folder.exists():
        pytest.skip(f"openai {generation}.x is not installed: make sdks")
    done = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT, *doors],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["version"].split(".")[0] == generation
    assert told["left"] == []
