"""Keys by name: what is said of one must be said of that one."""

from pathlib import Path

from tests.cli.calling import call


def listed(data: Path) -> dict[str, str]:
    """The state of each key, by its id."""
    lines = call("keys", "list", "--data", data).stdout.splitlines()
    return {line.split()[0]: line.split()[4] for line in lines}


def test_a_name_that_two_keys_have_revokes_neither(tmp_path: Path) -> None:
    """Whoever rotates a key says which of the two is the old one; an id comes before a name."""
    data = tmp_path / "data"
    for name in ("nightly", "nightly", "other"):
        call("keys", "create", name, "--data", data)
    lines = call("keys", "list", "--data", data).stdout.splitlines()
    first, second = [line.split()[0] for line in lines if line.split()[5] == "nightly"]
    call("keys", "create", second, "--data", data)
    refused = call("keys", "revoke", "nightly", "--data", data)
    assert refused.exit_code == 1
    assert "2 active keys are called 'nightly', and none was revoked" in refused.stderr
    assert all(id in refused.stderr for id in (first, second))
    assert set(listed(data).values()) == {"active"}
    assert call("keys", "revoke", second, "--data", data).exit_code == 0
    assert [id for id, state in listed(data).items() if state == "revoked"] == [second]
    # Now the name is that of one.
    revoked = call("keys", "revoke", "nightly", "--data", data)
    assert (revoked.exit_code, revoked.stderr) == (0, f"revoked {first} (nightly)\n")
    assert call("keys", "revoke", "nightly", "--data", data).exit_code == 1
