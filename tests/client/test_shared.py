"""Campaigns whose folder is at a URL: killed, gone on with elsewhere, wanted by two at once."""

import os
import shutil
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.campaigns.intents import CampaignInUseError
from batchyard.client.campaigns.settings import Settings
from batchyard.client.campaigns.sharing import StoreError
from batchyard.places import commits, objects
from tests.client.bucket import Bucket
from tests.client.points import CAMPAIGN_POINTS
from tests.client.stand_in import StandIn
from tests.client.test_kills import BATCHES, COUNT, KILLS, LIFE_SECONDS, Others, lay_out, live

URL = "s3://b/jobs/one"
# Between what was done and what is known of it at the URL; the others are for the long run.
TELLING = {
    "campaign.before_begin",
    "campaign.after_begin",
    "campaign.within_plan",
    "campaign.after_plan",
    "campaign.after_upload",
    "campaign.before_create",
    "campaign.after_create",
    "campaign.within_collect",
    "campaign.before_merge",
}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """A bucket that this process and those it starts find."""
    one = Bucket()
    quick = {"max_retries": 1, "backoff": {"init_backoff": timedelta(milliseconds=1)}}
    monkeypatch.setattr(objects, "_RETRIES", quick)
    monkeypatch.setattr(commits, "_PAUSES", (0.01, 0.01))
    for name, value in one.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BATCHYARD_CACHE", str(tmp_path / "cache"))
    yield one
    one.close()


@pytest.fixture
def others() -> Iterator[Others]:
    """Somebody else's server, which makes a batch whenever it is asked."""
    stand_in = StandIn()
    yield Others(stand_in)
    stand_in.close()


def begin(folder: Path, url: str = URL, **more: Any) -> Campaign:
    """The campaign of this test at a URL."""
    settings = msgspec.json.decode((folder / "settings.json").read_bytes(), type=Settings)
    return Campaign.prepare(url, folder / "in.jsonl", settings, "key", **more)


def elsewhere() -> None:
    """Be on another machine from now on, which has nothing of the campaign."""
    shutil.rmtree(os.environ["BATCHYARD_CACHE"], ignore_errors=True)


def hold_to_account(campaign: Campaign, others: Others) -> None:
    """Go on to the end: each input has its result, each batch is there once."""
    assert campaign.run() == campaign.counts
    results = list(campaign.results())
    assert [one.custom_id for one in results] == [f"c{number}" for number in range(COUNT)]
    assert {one.outcome for one in results} == {"succeeded"}
    labels = others.labels(campaign.manifest.id)
    assert len(labels) == len(set(labels)) == BATCHES + others.rounds - 1
    assert sorted(others.asked().values()) == [1] * COUNT


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(one, marks=() if one in TELLING else pytest.mark.soak)
        for one in CAMPAIGN_POINTS
    ],
)
def test_killed_at_a_named_point_it_goes_on_at_another_machine(
    point: str, tmp_path: Path, bucket: Bucket, others: Others
) -> None:
    """Nothing of it is left but what is at the URL, and nothing is submitted twice."""
    lay_out(tmp_path, others)
    assert live(tmp_path, BATCHYARD_FAULT=point, CAMPAIGN_AT=URL) == -signal.SIGKILL
    elsewhere()
    campaign = begin(tmp_path)
    campaign.take_over()
    hold_to_account(campaign, others)
    elsewhere()
    assert len(list(Campaign(URL).results())) == COUNT


def test_killed_on_this_machine_it_goes_on_at_once(
    tmp_path: Path, bucket: Bucket, others: Others
) -> None:
    """Nobody is waited for: whoever was here is known to be dead."""
    lay_out(tmp_path, others)
    for point in ("campaign.after_plan:1", "campaign.after_created:2", "campaign.after_collect:1"):
        assert live(tmp_path, BATCHYARD_FAULT=point, CAMPAIGN_AT=URL) == -signal.SIGKILL
    hold_to_account(begin(tmp_path), others)


def test_a_disk_that_many_machines_see_does_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: Others
) -> None:
    """A `file://` URL takes the same way, without a lock of the file system."""
    monkeypatch.setenv("BATCHYARD_CACHE", str(tmp_path / "cache"))
    url = f"file://{tmp_path}/far/one"
    lay_out(tmp_path, others)
    point = "campaign.after_create"
    assert live(tmp_path, BATCHYARD_FAULT=point, CAMPAIGN_AT=url) == -signal.SIGKILL
    elsewhere()
    campaign = begin(tmp_path, url)
    campaign.take_over()
    hold_to_account(campaign, others)
    assert (tmp_path / "far/one/results.jsonl").read_bytes() == campaign.results_path.read_bytes()


def test_of_two_who_go_on_one_is_refused_and_told_by_whom(
    tmp_path: Path, bucket: Bucket, others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another machine, while the first is at work; it loses nothing by that."""
    lay_out(tmp_path, others)
    refused: list[str] = []

    def look(_progress: object) -> None:
        if refused:
            return
        with monkeypatch.context() as there:
            there.setenv("BATCHYARD_CACHE", str(tmp_path / "there"))
            with pytest.raises(CampaignInUseError) as raised:
                Campaign(URL, "key").run()
            assert Campaign(URL).standing().requests == COUNT
        refused.append(str(raised.value))

    campaign = begin(tmp_path)
    assert campaign.run(look) == campaign.counts
    assert URL in refused[0]
    assert f"process {os.getpid()}, heard of" in refused[0]
    hold_to_account(campaign, others)


def test_who_was_taken_over_stops_before_it_submits(
    tmp_path: Path, bucket: Bucket, others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine has gone on with it to the end meanwhile; the first says so and stops."""
    lay_out(tmp_path, others)
    ended: list[Campaign] = []

    def elsewhere_meanwhile(point: str) -> None:
        if point == "campaign.before_create" and not ended:
            with monkeypatch.context() as there:
                there.setenv("BATCHYARD_CACHE", str(tmp_path / "there"))
                campaign = Campaign(URL, "key")
                assert campaign.take_over()
                ended.append(campaign)
                hold_to_account(campaign, others)

    with pytest.raises(CampaignInUseError, match="has taken over"):
        begin(tmp_path, reach=elsewhere_meanwhile).run()
    hold_to_account(begin(tmp_path), others)


def test_a_bad_day_of_the_store_stops_it_with_nothing_lost(
    tmp_path: Path, bucket: Bucket, others: Others
) -> None:
    """At each put in turn the store is gone for good; the next run goes on from what is known."""
    lay_out(tmp_path, others)
    left = 0

    def fault(verb: str, key: str) -> str:
        nonlocal left
        left -= verb == "PUT" and "owners/" not in key
        return "refuse" if left < 0 else ""

    bucket.fault, stopped, most = fault, 0, 60
    for puts in range(3, most, 4):
        left = puts
        try:
            begin(tmp_path).run()
        except StoreError:
            stopped += 1
            bucket.fault = lambda verb, key: ""
            elsewhere()
            if bucket.names("jobs/one/log"):
                Campaign(URL).take_over()
            bucket.fault = fault
        else:
            break
    assert stopped > 1
    bucket.fault = lambda verb, key: ""
    hold_to_account(begin(tmp_path), others)


def test_a_campaign_is_cancelled_from_anywhere(
    tmp_path: Path, bucket: Bucket, others: Others
) -> None:
    """Whoever goes on with it sees that, wherever that was."""
    lay_out(tmp_path, others)
    begin(tmp_path).run(until="submitted")
    elsewhere()
    Campaign(URL).cancel()
    assert Campaign(URL).standing().cancelled
    elsewhere()
    counts = Campaign(URL, "key").run()
    assert counts is not None
    assert sum(counts.values()) == COUNT
    assert counts["cancelled"]


def test_what_was_removed_at_the_url_is_begun_anew(
    tmp_path: Path, bucket: Bucket, others: Others
) -> None:
    """The working folder has no say: the truth is at the URL."""
    lay_out(tmp_path, others)
    first = begin(tmp_path)
    first.run()
    bucket.objects.clear()
    others.forget()
    second = begin(tmp_path)
    assert second.manifest.id != first.manifest.id
    assert second.counts is None
    hold_to_account(second, others)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_killed_at_random_it_goes_on_wherever(
    tmp_path: Path, bucket: Bucket, others: Others
) -> None:
    """At any moment, here or at another machine, until it was killed as often as KILLS says."""
    chance, killed, number = Random(f"url {KILLS}"), 0, 0
    while killed < KILLS:
        number += 1
        folder, url = tmp_path / str(number), f"s3://b/jobs/{number}"
        folder.mkdir()
        lay_out(folder, others)
        seconds = chance.uniform(0.2, LIFE_SECONDS)
        while live(folder, seconds, CAMPAIGN_AT=url) == -signal.SIGKILL:
            killed += 1
            seconds = chance.uniform(0.2, LIFE_SECONDS)
            if chance.random() < 0.5:
                elsewhere()
                if bucket.names(f"jobs/{number}/log"):
                    Campaign(url).take_over()
        hold_to_account(begin(folder, url), others)
        others.forget()
