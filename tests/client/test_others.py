"""Campaigns against servers with the habits and faults of others: outcomes always add up."""

import asyncio
import json
import signal
import threading
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from batchyard.client.apis.provider import ProviderError
from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.campaigns.checked import MissingCheckError, unchecked
from batchyard.client.campaigns.cutting import Sizes
from batchyard.client.campaigns.intents import CampaignInUseError
from batchyard.client.campaigns.merging import CountsError
from batchyard.client.campaigns.settings import Progress, Settings
from batchyard.client.results.results import Result
from tests.acceptance.processes import request_lines
from tests.client.stand_in import Habits, StandIn

COUNT = 12
SIZES = Sizes(requests=4, bytes=10**6, embedding_inputs=100)
QUESTION = {"role": "user", "content": "x"}
BODY: dict[str, Any] = {"model": "m1", "max_tokens": 10, "messages": [QUESTION]}


def begin(
    other: StandIn, folder: Path, body: dict[str, Any] = BODY, check: Any = None, **changed: Any
) -> Campaign:
    source = folder / "in.jsonl"
    source.write_bytes(request_lines(COUNT, body))
    asked = {"base_url": other.url, "sizes": SIZES, "poll_seconds": 0.01, "settle_seconds": 0.0}
    settings = Settings(**asked | changed)  # type: ignore[arg-type]
    chance = Random(str(folder))
    return Campaign.prepare(folder / "c", source, settings, "key", check=check, chance=chance)


def outcomes(campaign: Campaign) -> dict[str, tuple[str, int]]:
    """Outcome and number of attempts by custom_id, when counts and results add up."""
    counts = campaign.run()
    assert counts is not None
    lines = [json.loads(line) for line in campaign.results_path.read_bytes().splitlines()]
    assert [one["custom_id"] for one in lines] == [f"c{n}" for n in range(COUNT)]
    assert Counter(one["outcome"] for one in lines) == Counter(
        {name: count for name, count in counts.items() if count}
    )
    return {one["custom_id"]: (one["outcome"], len(one["attempts"])) for one in lines}


ONCE = {f"c{n}": ("succeeded", 1) for n in range(COUNT)}


@pytest.mark.parametrize(
    "habits",
    [
        {},
        {"upper": True},
        {"no_file": ""},
        {"bare_list": True, "upper": True, "no_file": "", "drops_metadata": True},
        {"doubles": True, "adds_stranger": True},
        {"queue": 4},
        {"queue": 8, "says_full": "create"},
        {"queue": 4, "says_full": "text"},
        {"broken_calls": 3},
        {"throttles": True},
        {"lost_creates": 1},
        {"lost_creates": 3, "bare_list": True},
        {"lost_creates": 2, "drops_metadata": True},
        {"lost_creates": 2, "queue": 4, "upper": True},
        {"lost_creates": 2, "queue": 4, "drops_metadata": True},
        {"slow_files": 2},
        {"late_files": 3},
        {"forgets": {"batch_1": 3, "batch_2": 1}},
    ],
    ids=lambda one: ",".join(one) or "openai",
)
def test_whatever_a_server_is_like_each_request_is_asked_once(
    habits: dict[str, Any], other: StandIn, tmp_path: Path
) -> None:
    """Capitals, "" for null, doubled lines, full queues, lost answers: all succeed, once."""
    other.habits = Habits(**habits)
    assert outcomes(begin(other, tmp_path)) == ONCE
    assert set(other.asked.values()) == {1}
    assert other.most_enqueued <= (other.habits.queue or COUNT)


def test_lines_beyond_one_for_a_request_are_counted(other: StandIn, tmp_path: Path) -> None:
    """Doubled lines, and those that name no request of their batch; also for who comes later."""
    other.habits = Habits(doubles=True, adds_stranger=True)
    campaign = begin(other, tmp_path)
    campaign.run()
    standing = Campaign(campaign.folder).standing()
    assert standing.duplicates == COUNT
    assert standing.strangers == len(standing.chunks)
    assert repr(campaign).endswith(
        f" · {COUNT} duplicate lines · {standing.strangers} lines of nobody>"
    )


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        ("429", "ok", ("succeeded", 2)),
        ("503", "ok", ("succeeded", 2)),
        ("garbage", "ok", ("succeeded", 2)),
        ("expired", "ok", ("succeeded", 2)),
        ("length", "ok", ("succeeded", 2)),
        ("429", "429", ("errored", 3)),
        ("length", "length", ("invalid_output", 3)),
        ("garbage", "garbage", ("invalid_output", 3)),
        ("400", "ok", ("errored", 1)),
        ("content", "ok", ("errored", 1)),
        ("refusal", "ok", ("errored", 1)),
    ],
)
def test_only_what_may_pass_is_asked_again(
    first: str, then: str, expected: tuple[str, int], other: StandIn, tmp_path: Path
) -> None:
    """By the class of the failure, three times at most, and nothing else is asked with it."""
    other.habits.answers = lambda id, time: (first if time == 1 else then) if id == "c5" else "ok"
    assert outcomes(begin(other, tmp_path)) == ONCE | {"c5": expected}
    assert other.asked == Counter({f"c{n}": 1 for n in range(COUNT)}) + Counter(
        {"c5": expected[1] - 1}
    )


def test_a_cut_off_answer_gets_more_room_up_to_a_bound(other: StandIn, tmp_path: Path) -> None:
    """Twice as much each time, and no more than `cap_max`."""
    other.habits.answers = lambda id, _time: "length" if id == "c5" else "ok"
    campaign = begin(other, tmp_path, rounds_max=9, cap_max=35)
    assert outcomes(campaign) == ONCE | {"c5": ("invalid_output", 3)}
    assert [one["max_tokens"] for one in other.bodies[COUNT:]] == [20, 35]


def of_c5(answer: str) -> Any:
    """How c5 is answered at first; then, and the others, with a text of the enum."""
    return lambda id, time: answer if (id, time) == ("c5", 1) else '"no"'


@pytest.mark.parametrize(
    ("answer", "fault"),
    [("{", "It is not JSON: "), ("ok", "It is not JSON: "), ('"no"', None)],
)
def test_what_is_not_as_its_schema_says_is_asked_again_with_the_fault_shown(
    answer: str, fault: str | None, other: StandIn, tmp_path: Path
) -> None:
    """The answer and what is wrong with it follow the question; a third time is the last."""
    schema = {"type": "string", "enum": ["yes", "no"]}
    asked = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    other.habits.answers = of_c5(answer)
    campaign = begin(other, tmp_path, BODY | {"response_format": asked})
    assert outcomes(campaign) == ONCE | {"c5": ("succeeded", 2 if fault else 1)}
    again = [one["messages"] for one in other.bodies[COUNT:]]
    assert len(again) == bool(fault)
    if fault:
        first, before, after = again[0]
        assert first == QUESTION
        assert before == {"role": "assistant", "content": "{" if answer == "{" else "yes"}
        assert fault in after["content"]


def test_a_check_of_ones_own_is_heard(other: StandIn, tmp_path: Path) -> None:
    """What it raises is what the model is told, and what the attempt says."""

    def check(custom_id: str, text: str) -> None:
        if text == "yes":
            raise ValueError(f"{custom_id} must be no")

    other.habits.answers = of_c5("ok")
    campaign = begin(other, tmp_path, check=check)
    assert outcomes(campaign) == ONCE | {"c5": ("succeeded", 2)}
    assert "c5 must be no" in other.bodies[-1]["messages"][-1]["content"]
    fifth = list(campaign.results())[5]
    assert fifth.attempts[0].message == "c5 must be no"
    assert (fifth.text, fifth.value(str), fifth.code) == ('"no"', "no", "")


def test_a_check_is_not_skipped_in_silence(other: StandIn, tmp_path: Path) -> None:
    """The folder has its name alone: who goes on without it is told how to give it again."""

    def check(custom_id: str, text: str) -> None:
        if text == "yes":
            raise ValueError(f"{custom_id} must be no")

    campaign = begin(other, tmp_path, check=check)
    campaign.run(until="submitted")
    again = Campaign(campaign.folder, "key")
    with pytest.raises(MissingCheckError, match=r"test_others:.*check, a function, .*--check"):
        again.run()
    assert again.counts is None
    assert Campaign(campaign.folder, "key", check=unchecked).run(until="submitted") is None
    counts = Campaign(campaign.folder, "key", check=check).run()
    assert counts == Campaign(campaign.folder, "key").run() == campaign.counts


def test_each_result_is_told_once_in_each_run(other: StandIn, tmp_path: Path) -> None:
    """As soon as it is final; a run that goes on, or comes afterwards, tells them all again."""
    other.habits.answers = lambda id, time: "429" if (id, time) == ("c5", 1) else "ok"
    campaign = begin(other, tmp_path, batches_at_once=1)
    told: list[Result] = []
    while campaign.run(until="turn", on_result=told.append) is None:
        told, before = [], told
        assert len(before) <= COUNT - 1
    assert [one.custom_id for one in told][-1] == "c5"
    assert sorted(told, key=lambda one: one.line) == list(campaign.results())
    again: list[Result] = []
    campaign.run(on_result=again.append)
    assert again == list(campaign.results())


@pytest.mark.parametrize("says_full", ["batch", "create"])
@pytest.mark.parametrize(("queue", "limit", "chunks"), [(2, 60, 6), (2, 150, 6), (1, 27, 12)])
def test_a_chunk_that_never_fits_the_queue_is_split(
    queue: int, limit: int, chunks: int, says_full: str, other: StandIn, tmp_path: Path
) -> None:
    """By the limit that the server names, also where it counts tokens otherwise than we do."""
    other.habits = Habits(queue=queue, limit=limit, says_full=says_full)
    campaign = begin(other, tmp_path)
    if limit == 150:
        # Whoever looks now and then remembers what was before.
        while campaign.run(until="turn") is None:
            pass
    assert outcomes(campaign) == ONCE
    assert set(other.asked.values()) == {1}
    assert [one.status for one in campaign.standing().chunks].count("completed") == chunks


def test_a_request_that_alone_is_too_large_for_the_queue_is_refused(
    other: StandIn, tmp_path: Path
) -> None:
    """It is not tried for ever."""
    other.habits = Habits(queue=0, limit=5)
    found = outcomes(begin(other, tmp_path))
    assert found == {f"c{n}": ("errored", 1) for n in range(COUNT)}


def test_an_outage_is_waited_out(other: StandIn, tmp_path: Path) -> None:
    """A server that has answered once is given more time than a wrong address."""
    campaign = begin(other, tmp_path, faults_max=2)
    heard: list[str] = []

    def fall(now: Progress) -> None:
        if now.submitted and not other.asked["down"]:
            other.asked["down"] = 1
            other.habits.broken_calls = 7
        heard.append(now.waiting_for)

    assert campaign.run(fall) is not None
    assert heard.count("500: <html>try later</html>") == 7


def test_a_batch_that_the_server_has_lost_is_missing(other: StandIn, tmp_path: Path) -> None:
    """Its requests are not asked again by themselves: they may have been paid for."""
    other.habits.forgets = {"batch_2": 1_000}
    lost = {f"c{n}": ("missing", 1) for n in range(4, 8)}
    assert outcomes(begin(other, tmp_path)) == ONCE | lost


@pytest.mark.parametrize(
    "refusal",
    [(400, "billing_hard_limit_reached"), (429, "insufficient_quota"), (401, "invalid_api_key")],
)
def test_a_bill_that_is_not_paid_costs_no_request_its_answer(
    refusal: tuple[int, str], other: StandIn, tmp_path: Path
) -> None:
    """It raises, and goes on when it is called after that."""
    other.habits.refuses = refusal
    campaign = begin(other, tmp_path)
    with pytest.raises(ProviderError, match=refusal[1]):
        campaign.run()
    other.habits.refuses = None
    assert outcomes(campaign) == ONCE
    assert set(other.asked.values()) == {1}


def test_a_refused_chunk_is_reported(other: StandIn, tmp_path: Path) -> None:
    """What the server says stands in each result; the same is not sent again."""
    other.habits.refuses = (400, "model_not_found")
    campaign = begin(other, tmp_path)
    assert outcomes(campaign) == {f"c{n}": ("errored", 1) for n in range(COUNT)}
    assert {one.code for one in campaign.results()} == {"model_not_found"}


def test_one_process_at_a_time_goes_on_with_a_campaign(other: StandIn, tmp_path: Path) -> None:
    """The other one is told so; looking is free."""
    campaign = begin(other, tmp_path)

    def meanwhile(_progress: Progress) -> None:
        with pytest.raises(CampaignInUseError):
            Campaign(campaign.folder, "key").run()
        assert campaign.standing().requests == COUNT

    assert campaign.run(meanwhile, "turn") is None


async def test_a_cell_of_a_notebook_can_be_stopped(other: StandIn, tmp_path: Path) -> None:
    """Where a loop runs already, the campaign is in another thread, and ends there at once."""
    main, left = threading.main_thread().ident, ["once"]
    assert main is not None

    def interrupt(_progress: Progress) -> None:
        if left:
            left.clear()
            signal.pthread_kill(main, signal.SIGINT)

    campaign = begin(other, tmp_path, poll_seconds=3_600.0)
    # As a notebook has it; the loop of this test would take the first one for itself.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            campaign.run(interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert campaign.counts is None


def test_outcomes_that_do_not_add_up_are_no_result(other: StandIn, tmp_path: Path) -> None:
    """A chunk that lacks a request, as by a fault of ours: it raises, and writes nothing."""
    campaign = begin(other, tmp_path)
    campaign.run(until="submitted")
    chunk = campaign.folder / "chunks" / "000001.jsonl"
    chunk.write_bytes(chunk.read_bytes().partition(b"\n")[2])
    with pytest.raises(CountsError, match="11 outcomes for 12 inputs"):
        campaign.run()
    assert not campaign.results_path.exists()


def test_what_is_no_unicode_comes_through(other: StandIn, tmp_path: Path) -> None:
    """Half of a pair of surrogates is allowed in JSON, and stands in texts from the web."""
    odd = BODY | {"messages": [{"role": "user", "content": "\ud800"}]}
    other.habits.answers = lambda id, time: "{" if (id, time) == ("c5", 1) else '"no"'
    asked = {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}
    campaign = begin(other, tmp_path, odd | asked)
    assert outcomes(campaign) == ONCE | {"c5": ("succeeded", 2)}
    assert all(one["messages"][0]["content"] == "\ud800" for one in other.bodies)
    assert [one.model for one in campaign.bill().paid] == ["m1"]


def test_metadata_has_room_for_ours() -> None:
    """More than a server takes is refused before anything is sent."""
    with pytest.raises(ValueError, match="14 keys"):
        Settings(base_url="http://a/v1", metadata={str(n): "" for n in range(15)})


async def test_several_campaigns_go_on_at_once(other: StandIn, tmp_path: Path) -> None:
    """In one event loop, at one server whose queue has not room for all of them."""
    other.habits.queue = 8
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    campaigns = [begin(other, folder) for folder in folders]
    counts = await asyncio.gather(*(one.arun() for one in campaigns))
    assert [one and one["succeeded"] for one in counts] == [COUNT] * 3
    assert set(other.asked.values()) == {3}


def test_a_campaign_shows_itself(other: StandIn, tmp_path: Path) -> None:
    """In a line, and as a table in a notebook; what others wrote is escaped."""
    other.habits.ends = {1: ("failed", 0)}
    other.habits.errors = {1: "<script>"}
    campaign = begin(other, tmp_path, rounds_max=1)
    campaign.run(until="submitted")
    assert repr(campaign) == f"<Campaign {tmp_path / 'c'} · 12 requests · 3 batches created>"
    assert campaign._repr_html_().count("<tr>") == 4
    campaign.run()
    assert repr(campaign).endswith("8 succeeded · 4 errored>")
    assert "failed (: &lt;script&gt;)" in campaign._repr_html_()


def test_what_expired_with_partial_results_is_asked_again(other: StandIn, tmp_path: Path) -> None:
    """What was answered is kept; only the rest goes into another batch."""
    other.habits.ends = {2: ("expired", 1)}
    again = {f"c{n}": ("succeeded", 2) for n in (5, 6, 7)}
    assert outcomes(begin(other, tmp_path)) == ONCE | again


@pytest.mark.parametrize(
    ("end", "expected"),
    [("expired", "expired"), ("cancelled", "cancelled"), ("completed", "missing")],
)
def test_what_has_no_result_line_has_an_outcome(
    end: str, expected: str, other: StandIn, tmp_path: Path
) -> None:
    """By the status of its batch; both files may be missing altogether."""
    other.habits.ends = {1: (end, 0)}
    found = outcomes(begin(other, tmp_path, rounds_max=1))
    assert found == ONCE | {f"c{n}": (expected, 1) for n in range(4)}


@pytest.mark.parametrize(
    "errors",
    [
        {"object": "list", "data": [{"code": "bad", "message": "no", "line": 2, "param": None}]},
        [{"code": "bad", "message": "no", "line": 2}],
    ],
    ids=["list object", "array"],
)
def test_a_batch_that_failed_for_one_line_costs_the_others_nothing(
    errors: Any, other: StandIn, tmp_path: Path
) -> None:
    """The named line is errored; those beside it are asked again without it."""
    other.habits.ends, other.habits.errors = {1: ("failed", 0)}, {1: errors}
    beside = {f"c{n}": ("succeeded", 2) for n in (0, 2, 3)}
    assert outcomes(begin(other, tmp_path)) == ONCE | {"c1": ("errored", 1)} | beside


@pytest.mark.parametrize("errors", ["it broke", None, [], {"data": None}, ["it broke"]], ids=repr)
def test_a_batch_that_failed_as_a_whole_is_reported(
    errors: Any, other: StandIn, tmp_path: Path
) -> None:
    """Whatever the shape of its errors; nobody asks the same again."""
    other.habits.ends, other.habits.errors = {1: ("failed", 0)}, {1: errors}
    failed = {f"c{n}": ("errored", 1) for n in range(4)}
    assert outcomes(begin(other, tmp_path)) == ONCE | failed


def test_a_cancelled_campaign_keeps_what_was_answered(other: StandIn, tmp_path: Path) -> None:
    """Batches under way are cancelled, the others never created; all have an outcome."""
    campaign = begin(other, tmp_path, batches_at_once=1)
    assert campaign.run(until="submitted") is None
    campaign.cancel()
    assert outcomes(campaign) == ONCE | {f"c{n}": ("cancelled", 1) for n in range(1, COUNT)}
    assert len(other.batches) == 1


def test_a_server_that_stays_down_is_an_error_and_nothing_is_lost(
    other: StandIn, tmp_path: Path
) -> None:
    """It raises after some patience; the same call later goes on."""
    other.habits.broken_calls = 8
    campaign = begin(other, tmp_path, faults_max=4)
    for _ in range(2):
        with pytest.raises(ProviderError):
            campaign.run()
    assert outcomes(campaign) == ONCE
