"""`batchyard submit`, `watch`, `status`, `collect`, `resume` and `cancel`."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchyard.cli.road import named_in_module
from batchyard.client.campaigns.submit import submit
from tests.acceptance.processes import request_lines
from tests.cli.calling import call
from tests.client.stand_in import Habits, StandIn

FAST = ("--poll", "0.01", "--settle", "0")
PRICE = '[[price]]\nmodel = "m1"\ninput = 1000000.0\noutput = 2000000.0\ndiscount = 0.5\n'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten requests in a folder of their own, which is where the command is called."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batchyard.toml").write_text(PRICE)
    path = tmp_path / "in.jsonl"
    body = {"model": "m1", "max_tokens": 7, "messages": []}
    path.write_bytes(request_lines(10, body))
    return path


def test_a_file_goes_from_submit_to_its_results(other: StandIn, source: Path) -> None:
    """Each command says how to go on, and the last where the results are, and what it cost."""
    begun = call("submit", source, "--to", other.url, "--max-requests", 4, *FAST)
    folder = source.with_name("in.campaign")
    assert (begun.exit_code, begun.stdout) == (0, f"{folder}\n")
    assert "3 of 3 batches submitted, 10 requests" in begun.stderr
    again = call("submit", source, "--to", other.url, *FAST)
    assert (again.exit_code, len(other.batches)) == (0, 3)
    early = call("collect", folder)
    assert early.exit_code == 7
    assert "created" in call("status", folder).stdout
    ended = call("watch", folder)
    assert (ended.exit_code, ended.stdout) == (0, f"10 succeeded\n{folder / 'results.jsonl'}\n")
    assert "tokens: 30 in, estimated" in ended.stderr
    assert "20 out, estimated 70 to 70; $35.0000, estimated $" in ended.stderr
    told = json.loads(call("resume", folder, "--json").stdout)
    assert told["counts"]["succeeded"] == 10
    assert told["bill"]["paid"][0] == {
        "model": "m1",
        "answers": 10,
        "input_tokens": 30,
        "cached_tokens": 0,
        "output_tokens": 20,
        "usd": 35.0,
    }
    assert "collected" in call("status", folder).stdout


def test_what_may_cost_more_is_not_submitted(other: StandIn, source: Path) -> None:
    """Nor what has no price: nothing leaves the machine, and no folder comes to be."""
    dear = call("submit", source, "--to", other.url, "--max-usd", "1")
    assert dear.exit_code == 8
    assert "Nothing was submitted: it may cost up to $" in dear.stderr
    (source.parent / "batchyard.toml").write_text("")
    unknown = call("submit", source, "--to", other.url, "--max-usd", "1")
    assert (unknown.exit_code, other.files) == (8, {})
    assert "no price is known of m1" in unknown.stderr
    assert not source.with_name("in.campaign").exists()


def test_a_cancelled_campaign_ends(other: StandIn, source: Path) -> None:
    """What was not submitted is cancelled, and the command says so by its exit code."""
    call("submit", source, "--to", other.url, *FAST)
    folder = source.with_name("in.campaign")
    assert call("cancel", folder).exit_code in (0, 5, 7)
    ended = call("watch", folder)
    assert ended.stdout.startswith("1 succeeded, 9 cancelled\n")


def test_another_input_is_refused(other: StandIn, source: Path) -> None:
    """The folder is that of the input it began with."""
    call("submit", source, "--to", other.url, *FAST)
    source.write_bytes(request_lines(3))
    other.habits = Habits()
    refused = call("submit", source, "--to", other.url, *FAST)
    assert refused.exit_code == 1
    assert "another input" in refused.stderr
    source.write_text("{}\n")
    assert call("submit", source, "--to", other.url, "-d", source.with_name("x")).exit_code == 3


def test_when_nothing_succeeded_the_command_failed(other: StandIn, source: Path) -> None:
    """Exit code 5, and the results tell why."""
    other.habits.answers = lambda _id, _time: "400"
    call("submit", source, "--to", other.url, *FAST)
    ended = call("watch", source.with_name("in.campaign"))
    assert (ended.exit_code, ended.stdout.partition("\n")[0]) == (5, "10 errored")


def test_a_check_is_given_again(other: StandIn, source: Path) -> None:
    """What was begun in Python with check= goes on in the shell with --check, and not without."""
    module = source.with_name("own_rules.py")
    module.write_text("def no_yes(custom_id, text):\n    assert text != 'yes', 'say no'\n")
    other.habits.answers = lambda _id, time: "ok" if time == 1 else '"no"'
    settings: Any = {"poll_seconds": 0.01, "settle_seconds": 0.0, "to": other.url}
    check = named_in_module("own_rules:no_yes", "--check")
    folder = submit(source, check=check, **settings).folder
    told = call("watch", folder)
    assert told.exit_code == 1
    assert "holds its answers against own_rules:no_yes" in told.stderr
    done = call("watch", folder, "--check", "own_rules:no_yes", "--json")
    assert json.loads(done.stdout)["counts"]["succeeded"] == 10
    assert other.asked["c0"] == 2
    assert call("watch", folder, "--check", "own_rules:nothing").exit_code == 2
    other_folder = submit(source, source.with_name("o"), check=check, **settings).folder
    told = call("cancel", other_folder)
    assert "not held against own_rules:no_yes" in told.stderr


def test_a_campaign_is_meant_by_its_name_or_id(other: StandIn, source: Path) -> None:
    """Its whole name goes before longer ones that begin so; its id may be cut short."""
    call("submit", source, "--to", other.url, *FAST)
    source.with_name("in.retry1.campaign").mkdir()
    source.with_name("in.retry1.campaign").joinpath("campaign.json").write_text("{}")
    id = json.loads(call("status", "in", "--json").stdout)["id"]
    assert json.loads(call("status", id[:16], "--fields", "id").stdout) == {"id": id}
    assert call("status", "in.").exit_code == 1


def test_a_table_is_no_file_of_requests(source: Path) -> None:
    """It is said how requests are made of it."""
    table = source.with_name("rows.csv")
    table.write_text("text\nOne\n")
    for verb in ("check", "stats", "estimate", "split", "submit"):
        done = call(verb, table)
        assert (done.exit_code, "batchyard make" in done.stderr) == (2, True)
    source.write_text("no request\n")
    assert "batchyard make" in call("submit", source, "--to", "http://127.0.0.1:9/v1").stderr
