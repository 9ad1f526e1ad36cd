"""What the pages in docs/ say is so: each is walked through from top to bottom, on one server."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from tests.acceptance.processes import Server, Sim, request_lines, until
from tests.server.receiver import Receiver

PAGES = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
# What readers see are fenced blocks; what only the test does stands in comments.
_STEP = re.compile(
    r"<!-- sim: (?P<switch>latency|faults) ?(?P<spec>\S*) -->"
    r"|<!-- check\n(?P<check>.*?)-->"
    r"|```(?P<language>python|sh|toml|text)\n(?P<block>.*?)```",
    re.DOTALL,
)
_HERE = "http://127.0.0.1:8080"


class Walk:
    """One reader of one page, with a server of their own."""

    def __init__(self, folder: Path, text: str, sim: Sim) -> None:
        self.receiver = Receiver()
        text = text.replace("127.0.0.1:9000", f"127.0.0.1:{self.receiver.port}")
        self.said = ""
        self.steps = list(_STEP.finditer(text))
        self.folder = folder
        self.names: dict[str, object] = {
            "json": json,
            "key": "key",
            "Path": Path,
            "receiver": self.receiver,
            "until": until,
        }
        (folder / "requests.jsonl").write_bytes(request_lines(40))
        self.sim = sim
        self.server = Server(folder, [self.sim.url])
        settings = "\n".join(self.blocks("toml"))
        (folder / "batchyard.toml").write_text(
            f'data = "./data"\n{settings}\n[[upstream]]\nurl = "{self.sim.url}"\n'
            "max_concurrency = 8\n"
        )
        self.server.start()
        self.site = self.server.url.removesuffix("/v1")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {"OPENAI_BASE_URL": self.server.url, "OPENAI_API_KEY": "key"}
        self.shell = os.environ | self.environment | {"PATH": path}

    def blocks(self, language: str) -> list[str]:
        """The blocks of one language."""
        return [step["block"] for step in self.steps if step["language"] == language]

    def go(self) -> None:
        """Do all that the page says."""
        for step in self.steps:
            if step["switch"]:
                self.sim.set(step["switch"], step["spec"])
            elif step["language"] == "sh":
                self.run(step["block"])
            elif step["language"] == "text":
                self.compare(step["block"])
            elif step["language"] != "toml":
                code = step["check"] or step["block"].replace(_HERE, self.site)
                exec(compile(code, "the page", "exec"), self.names)

    def run(self, script: str) -> None:
        """Run a script as a shell would; ids of what was made before are in the environment."""
        named = {
            name.upper(): id
            for name, one in self.names.items()
            if isinstance(id := getattr(one, "id", None), str)
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.shell | named,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.said = done.stdout
        assert done.returncode == 0, done.stdout

    def compare(self, transcript: str) -> None:
        """Hold what a script said against its transcript.

        Every line of it was said, in this order. Numbers may be others, and … stands for anything.
        """
        lines = iter(self.said.splitlines())
        for line in transcript.splitlines():
            form = re.sub(r"[\d.,]*\d", lambda _: r"[\d.,]*\d", re.escape(line).replace("…", ".*"))
            assert any(re.fullmatch(form, one) for one in lines), f"{line}\n\n{self.said}"

    def close(self) -> None:
        for one in self.names.values():
            if isinstance(one, OpenAI):
                one.close()
        self.server.close()
        self.receiver.close()


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    """One simulated upstream for all pages, calm for each."""
    one = Sim(tmp_path_factory.mktemp("sim"))
    yield one
    one.close()


@pytest.fixture(params=PAGES, ids=lambda page: page.stem)
def walk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sim: Sim
) -> Iterator[Walk]:
    """A reader of each page."""
    reader = Walk(tmp_path, request.param.read_text(encoding="utf-8"), sim.calm())
    for name, value in reader.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield reader
    reader.close()


def test_a_page_can_be_walked_through(walk: Walk) -> None:
    """Every block of the page runs, in its order, and what it says comes about."""
    walk.go()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Links to pages and their sections find them."""
    for place, section in re.findall(r"\]\(([\w./-]*)#?([\w-]*)\)", page.read_text("utf-8")):
        there = page.parent / place if place else page
        assert there.exists(), place
        titles = re.findall(r"^#+ (.*)$", there.read_text("utf-8"), re.MULTILINE) if section else []
        slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not section or section in slugs, section
