"""OpenAI's client for Node drives all that it can."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.sdks.conftest import Doors

FOLDER = Path(__file__).parent.parent.parent / ".venv" / "sdks" / "node"
SCRIPT = Path(__file__).parent / "node" / "drive.mjs"


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")
@pytest.mark.skipif(
    not (FOLDER / "node_modules").exists(), reason="OpenAI's Node client is not here: make sdks"
)
def test_the_client_for_node_drives_everything_it_can(doors: Doors) -> None:
    """Each method of each resource of ours was called, and did what OpenAI's does."""
    done = subprocess.run(
        ["node", SCRIPT, FOLDER, *doors], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["version"].startswith("6.")
    assert told["left"] == []
