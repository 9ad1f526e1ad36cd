"""What the documents say is so: their blocks run, their tables are complete."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from batchyard.config import Settings
from batchyard.places.upstreams import UpstreamSettings
from tests.acceptance.processes import Sim, command, request_lines

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATING = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- test: (\w+) -->\n```\w+\n(.*?)```", README, re.DOTALL))
UPSTREAM = "http://127.0.0.1:8000/v1"


def test_the_block_without_a_server_works(tmp_path: Path) -> None:
    """`batchyard run`, as the README has it, answers a file."""
    sim = Sim(tmp_path)
    (tmp_path / "requests.jsonl").write_bytes(request_lines(20))
    words = BLOCKS["run"].replace(UPSTREAM, sim.url).split()
    done = subprocess.run(command(*words[1:]), cwd=tmp_path, capture_output=True, check=False)
    sim.close()
    assert (words[0], done.returncode) == ("batchyard", 0)
    assert (tmp_path / "answers.jsonl").read_text().count("\n") == 20


def test_the_blocks_with_a_server_work(tmp_path: Path) -> None:
    """`batchyard serve` and OpenAI's client, as the README has them, run and cancel a batch."""
    sim = Sim(tmp_path)
    (tmp_path / "requests.jsonl").write_bytes(request_lines(20))
    words = BLOCKS["serve"].replace(UPSTREAM, sim.url).split()
    server = subprocess.Popen(
        command(*words[1:], "--port", "0"),
        cwd=tmp_path,
        env=os.environ | {"BATCHYARD_API_KEY": "key"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().split()[-1]
    script = BLOCKS["client"].replace("http://127.0.0.1:8080/v1", url) + BLOCKS["cancel"]
    done = subprocess.run(
        [sys.executable, "-c", f"key = 'key'\n{script}\nassert batch.status"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    server.terminate()
    server.wait()
    server.stdout.close()
    sim.close()
    # A batch so small may be complete before the cancel; then the API says so.
    assert done.returncode == 0 or "Cannot cancel a batch with status 'completed'" in done.stderr


@pytest.mark.parametrize("name", [*Settings.__struct_fields__, *UpstreamSettings.__struct_fields__])
def test_each_setting_is_explained(name: str) -> None:
    """A table of the README, or of the guide for operators, names every setting."""
    assert any(f"`{name}`" in text or f"`[[{name}]]`" in text for text in (README, OPERATING))


@pytest.mark.parametrize(
    "verb",
    [
        "",
        *[
            "check",
            "fix",
            "edit",
            "sample",
            "estimate",
            "report",
            "split",
            "run",
            "serve",
            "keys",
            "webhooks",
            "quota",
            "why",
            "openapi",
            "sim",
        ],
    ],
)
def test_each_verb_helps(verb: str) -> None:
    """`--help` explains itself and succeeds."""
    words = [verb, "--help"] if verb else ["--help"]
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage:")


def test_the_version_is_told() -> None:
    """`--version` tells the one version there is."""
    done = subprocess.run(command("--version"), capture_output=True, text=True, check=False)
    assert done.stdout == "batchyard, version 0.1.0\n"
