"""`batchyard explain` as it is called."""

import json

from tests.cli.calling import call


def test_a_code_is_explained() -> None:
    """What it means, and what to do."""
    shown = call("explain", "duplicate_custom_id").stdout
    assert "same custom_id" in shown
    assert "batchyard fix" in shown
    told = json.loads(call("explain", "429", "--json").stdout)
    assert (told["code"], told["passes"]) == ("429", True)


def test_without_a_code_all_are_listed() -> None:
    """One line each."""
    lines = call("explain").stdout.splitlines()
    assert any(line.startswith("token_limit_exceeded ") for line in lines)


def test_an_unknown_code_has_a_guess() -> None:
    """Exit code 1, and what may be meant."""
    for code, meant in (("duplicate_id", "duplicate_custom_id"), ("tokn", "token_limit_exceeded")):
        done = call("explain", code)
        assert (done.exit_code, meant in done.stderr) == (1, True)
