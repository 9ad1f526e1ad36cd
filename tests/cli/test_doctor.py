"""`batchyard doctor` as it is called."""

import json
import time
from pathlib import Path

import pytest

from batchyard.client.apis.diagnosis import _clock
from tests.cli.calling import call
from tests.cli.conftest import Home


def levels(*words: str) -> dict[str, str]:
    """What was looked at, and how it is."""
    lines = call("doctor", *words, "--json").stdout.splitlines()
    return {one["name"]: one["level"] for one in map(json.loads, lines)}


def test_all_is_well(home: Home) -> None:
    """Here and at a server that is up; exit code 0."""
    done = call("doctor")
    assert done.exit_code == 0, done.stdout
    assert "reachable: answers after " in done.stdout
    assert "models: 2: m1, m2" in done.stdout
    found = levels()
    assert {"python", "openai", "disk", "profiles", "target", "key", "batches", "clock"} <= {*found}
    assert set(found.values()) <= {"ok", "warn"}


def test_a_key_that_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 4, and where it came from, and never the key."""
    monkeypatch.setenv("OPENAI_API_KEY", "very-wrong")
    done = call("doctor")
    assert done.exit_code == 4
    assert "fail  key: refused" in done.stdout
    assert "OPENAI_API_KEY" in done.stdout
    assert "very-wrong" not in done.stdout
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "there is none" in call("doctor").stdout


def test_nobody_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1; a proxy that is not used is named."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    done = call("doctor", "--to", "http://127.0.0.1:9/v1")
    assert done.exit_code == 1
    assert "fail  reachable: " in done.stdout
    assert "proxy" in done.stdout
    assert levels("--to", "nowhere")["target"] == "fail"


def test_a_url_that_is_no_batch_api(home: Home) -> None:
    """A model server without batches, or a base URL without its end, is told."""
    assert call("doctor", "--to", home.sim.url).exit_code == 1
    assert levels("--to", home.sim.url)["batches"] == "fail"
    root = home.server.url.removesuffix("/v1")
    assert levels("--to", root)["models"] == "fail"
    assert f"Is {home.server.url} meant? It answers." in call("doctor", "--to", root).stdout


def test_offline_asks_nobody(home: Home, tmp_path: Path) -> None:
    """Only this machine; a file of profiles that is broken is told."""
    assert "target" not in levels("--offline")
    (tmp_path / "config" / "batchyard").mkdir(parents=True)
    (tmp_path / "config" / "batchyard" / "config.toml").write_text("=")
    assert levels("--offline")["profiles"] == "fail"


def test_clocks_are_compared() -> None:
    """By the header Date."""
    date = b"Sat, 21 Nov 2026 12:00:00 GMT"
    there = 1_795_262_400.0
    assert [one.level for one in _clock(date, there + 5)] == ["ok"]
    (ahead,) = _clock(date, there + 100)
    assert (ahead.level, ahead.found) == ("warn", "100 s ahead")
    assert [one.level for one in _clock(b"", time.time())] == ["ok"]
