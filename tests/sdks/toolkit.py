"""The toolkit with whatever is installed, or with its own dependencies alone: URL KEY [alone]."""

import importlib
import importlib.metadata
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, Literal


class Alone(MetaPathFinder):
    """Lets nothing be imported that a package does not declare it needs."""

    def __init__(self, package: str) -> None:
        needed, due = set[str](), [package]
        while due:
            name = due.pop()
            if name not in needed:
                needed.add(name)
                due += needs(name)
        self._hidden = {
            module
            for module, names in importlib.metadata.packages_distributions().items()
            if not needed & {canonical(name) for name in names}
        }

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: object = None) -> None:
        if name.partition(".")[0] in self._hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def needs(name: str) -> list[str]:
    """What a package says that it cannot do without; markers may say too much, never too little."""
    try:
        asked = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [canonical(re.split(r"[^\w.-]", one)[0]) for one in asked if "extra ==" not in one]


def canonical(name: str) -> str:
    """A package's name as packages compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if sys.argv[3:] == ["alone"]:
    sys.meta_path.insert(0, Alone("batchyard"))

import batchyard  # noqa: E402
from batchyard.cli.main import main as command  # noqa: E402
from batchyard.openbatch import BatchCollector, quick_validate  # noqa: E402


@dataclass
class Verdict:
    """What is wanted of each text."""

    label: Literal["good", "bad"]
    why: str


def say(*words: str) -> None:
    """The command `batchyard` with these words; what it says goes nowhere."""
    try:
        with redirect_stdout(sys.stderr):
            command(list(words), standalone_mode=False)
    except SystemExit as end:
        assert not end.code, (words, end)


def of_the_sdk() -> dict[str, Any]:
    """What the installed SDK has for requests; nothing where there is none."""
    try:
        openai = importlib.import_module("openai")
    except ModuleNotFoundError:
        return {}
    types = importlib.import_module("openai.types.chat")
    said = types.ChatCompletionMessage(role="assistant", content="Earlier.")
    return {"version": openai.__version__, "said": [said], "seed": openai.NOT_GIVEN}


def main() -> None:
    """Build, check, submit, collect, and read."""
    url, key = sys.argv[1:3]
    found = of_the_sdk()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "in.jsonl"
        rows = [{"id": f"t{n}", "text": f"Text {n}, in {{braces}}."} for n in range(8)]
        with batchyard.build.RequestFile(path) as out:
            out.extend(
                batchyard.build.chat_rows(
                    rows,
                    model="m1",
                    messages="Judge: {text}",
                    custom_id="id",
                    response_format=Verdict,
                )
            )
            out.chat.completions.create(
                "sdk",
                "m1",
                messages=[*found.get("said", []), {"role": "user", "content": "Hello."}],
                seed=found.get("seed", 1),
            )
        say("check", str(path))
        say("split", str(path), "-o", str(folder / "parts"))
        campaign = batchyard.submit(
            path, folder / "campaign", to=url, key=key, poll_seconds=0.05, settle_seconds=0.01
        )
        counts = campaign.run()
        assert counts is not None
        assert counts["succeeded"] == 9, counts
        *judged, plain = campaign.results()
        verdicts = [one.value(Verdict) for one in judged]
        assert all(type(one) is Verdict for one in verdicts)
        assert plain.text
        collector = BatchCollector(folder / "old.jsonl")
        collector.responses.create(custom_id="a", model="m1", input="Hello.")
        assert quick_validate(folder / "old.jsonl")
        sent = json.loads(path.read_text().splitlines()[-1])["body"]
    loaded = "openai" in sys.modules
    told = {"version": found.get("version"), "body": sorted(sent), "openai": loaded}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
