"""Upstreams as they are set up: by other names, at wrong places, or not there at all."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.conftest import House
from tests.acceptance.processes import (
    Server,
    Sim,
    batch_of,
    command,
    ended,
    request_lines,
    results_of,
)

Serve = Callable[..., Server]


def named(model: str, lines: int = 3) -> bytes:
    """A batch file for this model."""
    asked = {"model": model, "messages": [{"role": "user", "content": "?"}]}
    return request_lines(lines, asked)


def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a folder."""
    return subprocess.run(
        command(*words), cwd=folder, capture_output=True, text=True, check=False, timeout=40
    )


def test_a_file_for_another_house_is_answered_by_the_model_that_stands_for_it(
    tmp_path: Path, sim: Sim, serve: Serve
) -> None:
    """By an upstream whose base URL was mended; its alias is listed; usage has the file's name."""
    server = serve([])
    root = sim.url.removesuffix("/v1")
    (tmp_path / "batchyard.toml").write_text(
        f'[[upstream]]\nurl = "{root}"\nname = "one"\naliases = {{ gpt-4o-mini = "m1" }}\n'
    )
    client = server.start()
    assert [model.id for model in client.models.list()] == ["m1", "m2", "gpt-4o-mini"]
    batch = ended(client, batch_of(client, named("gpt-4o-mini")))
    outputs, failures = results_of(client, batch)
    assert (batch.status, failures) == ("completed", [])
    bodies = [line["response"]["body"]["model"] for line in outputs]  # type: ignore[index]
    assert bodies == ["m1"] * 3
    assert batch.model == "gpt-4o-mini"
    assert server.events("upstream_url_mended") == 1
    refused = ended(client, batch_of(client, named("gpt-4o")))
    assert refused.errors is not None
    assert refused.errors.data is not None
    told = [error.message or "" for error in refused.errors.data]
    assert "Served are: gpt-4o-mini, m" in told[0]
    assert "Served are" not in told[1]


def test_the_simulated_upstream_of_the_settings_takes_any_model(
    tmp_path: Path, serve: Serve
) -> None:
    """`url = "sim"` is what `--upstream sim` is; a key that no longer counts is told of."""
    server = serve(["sim"])
    client = server.start()
    batch = ended(client, batch_of(client, named("gpt-4o-mini")))
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.completed) == ("completed", 3)
    assert server.events("given_key_opens_nothing") == 0
    server.stop()
    server.start(BATCHYARD_API_KEY="another")
    assert server.events("given_key_opens_nothing") == 1


def test_settings_and_upstreams_are_checked_without_serving(tmp_path: Path, sim: Sim) -> None:
    """All that is wrong is told with exit code 3, and nothing is made."""
    config = tmp_path / "batchyard.toml"
    good = f'data = "d"\n[[upstream]]\nurl = "{sim.url}"\nname = "one"\n'
    config.write_text(good)
    done = call(tmp_path, "serve", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "settings: ok" in done.stdout
    assert "upstream one: serves m1, m2" in done.stdout
    config.write_text(f'{good}[[upstream]]\nurl = "http://127.0.0.1:9/v1"\nname = "two"\n')
    done = call(tmp_path, "serve", "--check", "--data", "batchyard.toml")
    assert done.returncode == 3
    wrong = [line for line in done.stdout.splitlines() if line.startswith("wrong: ")]
    assert ["data folder" in wrong[0], "upstream two: cannot be" in wrong[1]] == [True, True]
    config.write_text(f"prot = 1\n{good}workers = 0\n")
    done = call(tmp_path, "serve", "--check")
    assert (done.returncode, done.stdout.count("batchyard.toml, line ")) == (3, 2)
    assert not (tmp_path / "d").exists()


def test_a_server_of_ours_is_no_upstream_of_anybody(tmp_path: Path, house: House) -> None:
    """What OPENAI_BASE_URL names for clients is taken for an upstream by nobody."""
    (tmp_path / "in.jsonl").write_bytes(named("m1"))
    runs = (
        ("run", "in.jsonl", "-o", "out.jsonl", "--upstream", house.server.url),
        ("serve", "--data", "d", "--port", "0", "--upstream", house.server.url),
    )
    for words in runs:
        done = call(tmp_path, *words)
        assert done.returncode == 1
        assert "is a Batchyard server" in done.stderr
        assert "OPENAI_BASE_URL" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_file_is_checked_for_what_a_server_serves(tmp_path: Path, sim: Sim) -> None:
    """`check --for URL` asks that server, and names those models; a run does, too."""
    (tmp_path / "in.jsonl").write_bytes(named("m3", 2))
    done = call(tmp_path, "check", "in.jsonl", "--for", sim.url, "--json")
    found = json.loads(done.stdout)["report"]["findings"]
    assert (done.returncode, [one["code"] for one in found]) == (3, ["model_not_found"] * 2)
    assert "Served are: m1, m2." in found[0]["message"]
    ran = call(tmp_path, "run", "in.jsonl", "-o", "out.jsonl", "--upstream", sim.url)
    assert ran.returncode == 3
    assert "No upstream serves the model 'm3'. Served are: m1, m2." in ran.stderr
    assert "aliases" not in found[0]["message"] + ran.stderr
    away = call(tmp_path, "check", "in.jsonl", "--for", "http://127.0.0.1:9/v1")
    assert (away.returncode, "does not say what it serves" in away.stderr) == (0, True)
