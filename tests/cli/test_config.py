"""`batchyard config` as it is called."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from batchyard.cli.main import main
from tests.cli.calling import call
from tests.client.lines import line


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without profiles."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "PROD_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def shown() -> dict[str, dict[str, object]]:
    lines = call("config", "show", "--json").stdout.splitlines()
    return {one["name"]: one for one in map(json.loads, lines)}


def test_a_profile_is_set_used_and_forgotten(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its key stays in the environment."""
    assert call("config", "path").stdout == f"{home / 'batchyard/config.toml'}\n"
    url = "https://batches.example.com/v1"
    assert call("config", "set", "prod", "--url", url, "--key-env", "PROD_KEY").exit_code == 0
    assert call("config", "use", "prod").exit_code == 0
    assert (shown()["prod"]["used"], shown()["prod"]["has_key"]) == (True, False)
    monkeypatch.setenv("PROD_KEY", "very-secret")
    assert shown()["prod"]["has_key"] is True
    assert "very-secret" not in call("config", "show").stdout
    assert "very-secret" not in (home / "batchyard/config.toml").read_text()
    assert call("config", "rm", "prod").exit_code == 0
    assert "prod" not in shown()


def test_a_key_is_kept_only_when_asked(home: Path) -> None:
    """`--keep-key` reads it from stdin, and nothing prints it."""
    words = ["config", "set", "mine", "--url", "http://x/v1", "--keep-key"]
    done = CliRunner().invoke(main, words, input="very-secret\n")
    assert done.exit_code == 0
    assert "very-secret" not in done.output
    path = home / "batchyard/config.toml"
    assert 'key = "very-secret"' in path.read_text()
    assert "very-secret" not in call("config", "show").output
    path.chmod(0o644)
    assert "chmod 600" in call("config", "show").stderr


def test_a_change_keeps_the_rest(home: Path) -> None:
    """A new URL leaves the key's place as it was."""
    call("config", "set", "a", "--url", "http://x/v1", "--key-env", "A_KEY")
    call("config", "set", "a", "--url", "http://y/v1")
    assert (shown()["a"]["url"], shown()["a"]["key_from"]) == (
        "http://y/v1",
        "the environment's A_KEY",
    )


@pytest.mark.parametrize(
    "words",
    [
        ("set", "new"),
        ("set", "a/b", "--url", "http://x/v1"),
        ("set", "a", "--url", "nowhere"),
        ("set", "a", "--url", "http://x/v1", "--key-env", "A", "--key-file", "f"),
    ],
)
def test_wrong_usage_changes_nothing(home: Path, words: tuple[str, ...]) -> None:
    """Exit code 2, and no file."""
    assert call("config", *words).exit_code == 2
    assert list(home.iterdir()) == []


def test_an_unknown_name_is_told() -> None:
    """With those that there are."""
    done = call("config", "use", "prdo")
    assert done.exit_code == 1
    assert "openai" in done.stderr


def test_files_are_checked_for_a_profile(home: Path) -> None:
    """The target is told by the URL; where it tells nothing, only the form counts."""
    path = home / "in.jsonl"
    path.write_text(line("a"))
    call("config", "set", "fast", "--url", "https://api.groq.com/openai/v1")
    call("config", "set", "own", "--url", "http://gpu:8080/v1")
    for name, target in (("fast", "groq"), ("own", "any"), ("https://api.openai.com/v1", "openai")):
        done = call("check", path, "--for", name)
        assert (done.exit_code, f"for {target};" in done.stderr) == (0, True)
    assert call("check", path, "--for", "nobody").exit_code == 2
