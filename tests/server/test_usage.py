"""Usage and costs by day, as the official client asks for them."""

import json
from typing import Literal

import pytest
from click.testing import CliRunner
from openai import OpenAI

from batchyard.cli.usage import usage
from batchyard.server.vocabulary import USED
from batchyard.wire.money import Price
from tests.server.door import Caller
from tests.server.recorded import Running

DAY = 86_400
PRICE = Price(input=10**9, cached=10**9, output=5 * 10**9, discount=5_000, source="own table")


@pytest.fixture
def used(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Two batches with three answers and a failure today: 9 tokens in, 6 out, 1.95 cents."""
    monkeypatch.setattr(Running, "price", PRICE)
    first = Running(caller, 3, metadata={"team": "a"})
    first.record({0: "a"})
    first.record({1: "b"}, {2: (500, {})})
    Running(caller, 2).record({0: "c"})
    return caller


def admin(caller: Caller) -> OpenAI:
    """The official client, which asks for usage with an admin key."""
    return caller.sdk(admin_api_key=caller.secret)


def test_usage_is_told_by_day(used: Caller) -> None:
    """A bucket for each day; today's has what was used, summed exactly."""
    now = used.door.yard.now()
    with admin(used) as client:
        asked = client.admin.organization.usage
        page = asked.completions(start_time=now - 2 * DAY, group_by=["model", "batch"])
        assert (len(page.data), page.has_more) == (3, False)
        assert [bucket.results for bucket in page.data[:2]] == [[], []]
        (found,) = page.data[2].results
        told = found.to_dict()
        assert (told["input_tokens"], told["output_tokens"]) == (9, 6)
        assert (told["num_model_requests"], told["model"], told["batch"]) == (3, "tiny", True)
        assert told["project_id"] is None
        other = asked.completions(start_time=now, models=["other"])
        assert [bucket.results for bucket in other.data] == [[]]
        assert not asked.completions(start_time=now, batch=False).data[0].results
        assert not asked.embeddings(start_time=now).data[0].results


def test_costs_are_told_by_day(used: Caller) -> None:
    """In dollars, by model where asked."""
    with admin(used) as client:
        now = used.door.yard.now()
        page = client.admin.organization.usage.costs(start_time=now, group_by=["line_item"])
    (found,) = page.data[0].results
    told = found.to_dict()
    assert told["amount"] == {"value": 0.0195, "currency": "usd"}
    assert told["line_item"] == "tiny, batch"


def test_pages_follow_one_another(used: Caller) -> None:
    """Each begins where the last one ended."""
    now = used.door.yard.now()
    path = f"/v1/organization/usage/completions?start_time={now - 3 * DAY}&limit=3"
    first = used.ask("GET", path).json
    second = used.ask("GET", f"{path}&page={first['next_page']}").json
    assert (len(first["data"]), first["has_more"]) == (3, True)
    assert (len(second["data"]), second["has_more"], second["next_page"]) == (1, False, None)
    assert second["data"][0]["start_time"] == first["data"][-1]["end_time"]


@pytest.mark.parametrize(("width", "seconds"), [("1h", 3_600), ("1m", 60)])
def test_usage_is_told_by_hour_and_minute(
    caller: Caller, width: Literal["1h", "1m"], seconds: int
) -> None:
    """What was answered at different times stands in different buckets."""
    running, now = Running(caller, 2), caller.door.yard.now()
    running.record({0: "a"})
    running.record({1: "b"}, later=2 * seconds)
    with admin(caller) as client:
        page = client.admin.organization.usage.completions(
            start_time=now, end_time=now + 2 * seconds + 1, bucket_width=width
        )
    found = [[one.to_dict()["input_tokens"] for one in bucket.results] for bucket in page.data]
    assert found == [[3], [], [3]]
    starts = [bucket.start_time for bucket in page.data]
    assert starts == list(range(now - now % seconds, starts[-1] + 1, seconds))
    pages = f"/v1/organization/usage/completions?bucket_width={width}&limit=1&start_time={now}"
    first = caller.ask("GET", f"{pages}&end_time={now + 2 * seconds}").json
    assert first["next_page"] == f"page_{starts[1]}"


@pytest.mark.parametrize("kind", USED)
def test_every_kind_of_usage_is_answered(used: Caller, kind: str) -> None:
    """Whoever asks for all that OpenAI counts gets an answer to each, though there be nothing."""
    now = used.door.yard.now()
    with admin(used) as client:
        asked = getattr(client.admin.organization.usage, kind)(start_time=now)
    assert [bool(bucket.results) for bucket in asked.data] == [kind == "completions"]


@pytest.mark.parametrize(
    ("url", "kind", "field", "count"),
    [
        ("/v1/embeddings", "embeddings", "input_tokens", 3),
        ("/v1/moderations", "moderations", "input_tokens", 3),
        ("/v1/images/edits", "images", "images", 1),
    ],
)
def test_usage_is_told_by_kind(caller: Caller, url: str, kind: str, field: str, count: int) -> None:
    """Each endpoint counts where OpenAI counts it."""
    body = {"model": "tiny", "input": "a", "prompt": "a"}
    asked = {"custom_id": "c0", "method": "POST", "url": url, "body": body}
    running = Running(caller, 1, json.dumps(asked).encode(), endpoint=url)
    running.record({0: "a"})
    now = caller.door.yard.now()
    with admin(caller) as client:
        page = getattr(client.admin.organization.usage, kind)(start_time=now, group_by=["model"])
    (found,) = page.data[0].results
    told = found.to_dict()
    assert (told[field], told["num_model_requests"], told["model"]) == (count, 1, "tiny")


def test_others_see_nothing_of_it(used: Caller) -> None:
    """Usage is that of the caller's project."""
    other = used.door.caller()
    now = used.door.yard.now()
    for what in ("usage/completions", "costs"):
        path = f"/v1/organization/{what}?start_time={now}"
        assert not other.ask("GET", path).json["data"][0]["results"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "start_time"),
        ("start_time=now", "start_time"),
        ("start_time=5&end_time=5", "end_time"),
        ("start_time=5&bucket_width=2h", "bucket_width"),
        ("start_time=5&bucket_width=1h&limit=169", "limit"),
        ("start_time=5&bucket_width=1m&limit=1441", "limit"),
        ("start_time=5&limit=32", "limit"),
        ("start_time=5&group_by=color", "group_by"),
        ("start_time=5&page=2", "page"),
    ],
)
def test_what_is_wrong_is_named(caller: Caller, query: str, param: str) -> None:
    """As everywhere."""
    answer = caller.ask("GET", f"/v1/organization/usage/completions?{query}")
    assert (answer.error[0], answer.error[2]) == (400, param)


def shown(caller: Caller, *words: str) -> list[list[str]]:
    """What the command shows of one project's batches, row by row."""
    folder = caller.door.blobs_folder.parent
    (folder / "batchyard.sqlite").unlink(missing_ok=True)
    (folder / "batchyard.sqlite").symlink_to(folder / "door.sqlite")
    ran = CliRunner().invoke(usage, ["--data", str(folder), "--csv", *words])
    assert ran.exit_code == 0, ran.output
    return [line.split(",") for line in ran.output.splitlines()]


def test_the_command_line_tells_by_whatever_is_asked(used: Caller) -> None:
    """By project and by metadata, with cost and saving."""
    path = f"/v1/organization/costs?start_time={used.door.yard.now()}&group_by=project_id"
    project = used.ask("GET", path).json["data"][0]["results"][0]["project_id"]
    rows = {row[0]: row[1:] for row in shown(used, "--by", "project")}
    assert rows[project] == ["3", "1", "9", "0", "6", "0.019500", "0.019500"]
    assert shown(used, "--by", "tag:team")[0][0] == "tag:team"
    assert CliRunner().invoke(usage, ["--by", "color"]).exit_code == 2
    assert CliRunner().invoke(usage, ["--since", "soon"]).exit_code == 2
