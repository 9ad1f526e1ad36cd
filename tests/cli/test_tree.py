"""All verbs of the command, walked."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

import click
import pytest

from batchyard.cli.examples import EXAMPLES
from batchyard.cli.main import main
from batchyard.cli.projects import PROFILE_NAMES, SETTABLE_NAMES
from batchyard.cli.targeting import TARGET_NAMES
from batchyard.client.apis.targets import TARGETS
from batchyard.rules.limits import PROFILES, SETTABLE
from tests.cli.calling import call
from tests.client.lines import line

Words = tuple[str, ...]
# What serves until it is stopped, or prints one thing that has one form.
WITHOUT_RESULTS = {("serve",), ("sim",), ("openapi",), ("completion",)}
# What no verb needs to say what it does.
HEAVY = {
    "asyncio",
    "duckdb",
    "httptools",
    "httpx",
    "jinja2",
    "json",
    "msgspec",
    "openai",
    "pyarrow",
}
HEAVY |= {"pydantic", "rich", "sqlalchemy", "ssl", "starlette", "structlog", "uvicorn", "uvloop"}


def walked(group: click.Group, words: Words = ()) -> Iterator[tuple[Words, click.Command]]:
    """Every verb below a group, groups too."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from walked(command, (*words, name))


VERBS = dict(walked(main))
ENDS = [words for words, one in VERBS.items() if not isinstance(one, click.Group)]


def titled(words: Words) -> str:
    """A verb as a test id."""
    return " ".join(words)


@pytest.mark.parametrize("words", VERBS, ids=titled)
def test_a_verb_says_what_it_does(words: Words) -> None:
    """`--help` works, and begins with one sentence."""
    done = call(*words, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage: main ")
    told = (VERBS[words].help or "").split("\n\n")[0].strip()
    assert told.endswith(".")
    assert told[0].isupper()


@pytest.mark.parametrize("words", VERBS, ids=titled)
def test_a_verb_has_an_example(words: Words) -> None:
    """At the end of its help, and with options that there are."""
    shown = call(*words, "--help").stdout
    example = EXAMPLES[titled(words)]
    assert shown.endswith(f"  Example:\n    batchyard {example}\n")
    said, command = shlex.split(example), VERBS[words]
    while isinstance(command, click.Group):
        words = (*words, said[len(words)])
        command = VERBS[words]
    ctx = click.Context(command, info_name=titled(words))
    assert tuple(said[: len(words)]) == words
    command.make_parser(ctx).parse_args(said[len(words) :])


def test_fields_are_those_that_there_are(tmp_path: Path) -> None:
    """`--fields` is JSON with these alone, also of what stands in others; else wrong usage."""
    done = call("explain", "rate_limit_exceeded", "--fields", "code, meaning")
    assert list(json.loads(done.stdout)) == ["code", "meaning"]
    path = tmp_path / "in.jsonl"
    path.write_text(line("a"))
    inner = call("stats", path, "--fields", "stats.requests,kind")
    assert json.loads(inner.stdout) == {"stats.requests": 1, "kind": "requests"}
    wrong = call("explain", "rate_limit_exceeded", "--fields", "cod")
    assert (wrong.exit_code, "There are: code" in wrong.stderr) == (2, True)


def test_each_example_is_of_a_verb() -> None:
    """None is left over."""
    assert EXAMPLES.keys() == {titled(words) for words in VERBS}


@pytest.mark.parametrize("words", ENDS, ids=titled)
def test_a_verb_tells_programs(words: Words) -> None:
    """Whatever has results has `--json` and `--fields`, and every verb `--plain`."""
    options = {name for one in VERBS[words].params for name in one.opts}
    assert "--plain" in options
    assert words in WITHOUT_RESULTS or {"--json", "--fields"} <= options


@pytest.mark.parametrize("words", VERBS, ids=titled)
def test_a_verb_knows_its_options(words: Words) -> None:
    """An option that there is not is wrong usage: exit code 2."""
    done = call(*words, "--no-such-option")
    assert done.exit_code == 2
    assert "--no-such-option" in done.stderr


def test_the_list_says_what_the_verbs_say() -> None:
    """The list in `--help` has a sentence for each verb, and names no verb that is not there."""
    shown = call("--help").stdout
    for words, command in VERBS.items():
        if len(words) == 1:
            assert command.name == words[0]
            assert f"\n  {words[0]} " in shown


def test_the_readme_has_a_row_for_each_verb() -> None:
    """So that nobody has to guess what there is."""
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `batchyard ([a-z]+)", readme, re.MULTILINE))
    assert named == {words[0] for words in VERBS}


def test_help_loads_nothing_heavy() -> None:
    """`--version` and `--help` of any verb load nothing that only work needs: they come at once."""
    asked = list(map(titled, VERBS))
    code = (
        "import contextlib, io, sys\n"
        "from batchyard.cli.main import main\n"
        "for words in ('', *sys.argv[1:]):\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        "        main(['--version'], standalone_mode=False)\n"
        "        main([*words.split(), '--help'], standalone_mode=False)\n"
        "    print(*sys.modules)\n"
    )
    done = run([sys.executable, "-c", code, *asked], capture_output=True, text=True, check=True)
    for words, loaded in zip(["", *asked], done.stdout.splitlines(), strict=True):
        assert set() == HEAVY & set(loaded.split()), words


def test_options_name_all_there_is() -> None:
    """What options list is written out, so that `--help` comes at once; it is what there is."""
    assert tuple(TARGETS) == TARGET_NAMES
    assert tuple(PROFILES) == PROFILE_NAMES
    assert SETTABLE_NAMES == SETTABLE
