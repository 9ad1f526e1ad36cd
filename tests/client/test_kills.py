"""Campaigns killed with SIGKILL at every named point and at random: nothing is submitted twice."""

import json
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from openai import OpenAI

from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.campaigns.cutting import Sizes
from batchyard.client.campaigns.settings import Settings
from batchyard.client.campaigns.submitting import CAMPAIGN_KEY, CHUNK_KEY
from tests.client.conftest import Strict
from tests.client.points import CAMPAIGN_POINTS, RARE_POINTS
from tests.client.stand_in import Habits, StandIn

COUNT, BATCHES = 10, 3
RARE: dict[str, tuple[dict[str, Any], str]] = {
    "split": ({"queue": 2, "limit": 60}, "succeeded"),
    "full": ({"queue": 4}, "succeeded"),
    "refused": ({"refuses": (400, "no_such_model")}, "errored"),
    "cancelled": ({}, "cancelled"),
}
SIZES = Sizes(requests=4, bytes=10**6, embedding_inputs=100)
KILLS = int(os.environ.get("KILLS", "200"))
# Nobody is killed later than this after its start; it is about as long as a whole campaign.
LIFE_SECONDS = 1.2


class Place(ABC):
    """Where a campaign goes, and what arrived there of it."""

    url: str
    rounds = 1

    @abstractmethod
    def labels(self, id: str) -> list[str]:
        """What its batches are called."""

    @abstractmethod
    def asked(self) -> Counter[str]:
        """How often each request was asked."""

    @abstractmethod
    def forget(self) -> None:
        """Count anew."""


class Ours(Place):
    """Our server: it knows the Idempotency-Key."""

    def __init__(self, strict: Strict) -> None:
        self._strict, self.url = strict, strict.server.url

    def labels(self, id: str) -> list[str]:
        client: OpenAI = self._strict.openai
        found = [one.metadata or {} for one in client.batches.list(limit=100)]
        return [one[CHUNK_KEY] for one in found if one.get(CAMPAIGN_KEY) == id]

    def asked(self) -> Counter[str]:
        return self._strict.sim.served()

    def forget(self) -> None:
        self._strict.sim.calm()


class Others(Place):
    """Somebody else's server: it makes a batch whenever it is asked; one line passes later."""

    rounds = 2

    def __init__(self, stand_in: StandIn, habits: Habits | None = None) -> None:
        self._stand_in, self.url = stand_in, stand_in.url
        first_fails = {("c5", 1): "429"}
        answers = Habits(answers=lambda id, time: first_fails.get((id, time), "ok"))
        stand_in.habits = habits or answers

    def labels(self, id: str) -> list[str]:
        found = [one["metadata"] for one in self._stand_in.batches]
        return [one[CHUNK_KEY] for one in found if one[CAMPAIGN_KEY] == id]

    def asked(self) -> Counter[str]:
        return self._stand_in.asked - Counter({"c5": 1})

    def forget(self) -> None:
        self._stand_in.asked.clear()


@pytest.fixture
def ours(strict: Strict) -> Place:
    return Ours(strict)


@pytest.fixture
def others() -> Iterator[Place]:
    stand_in = StandIn()
    yield Others(stand_in)
    stand_in.close()


def request_lines(folder: Path) -> bytes:
    """Requests that nobody else asks."""
    asked = [
        {"model": "m1", "messages": [{"role": "user", "content": f"{folder} {number}"}]}
        for number in range(COUNT)
    ]
    lines = [
        {"custom_id": f"c{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for number, body in enumerate(asked)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def lay_out(folder: Path, place: Place) -> None:
    settings = Settings(
        base_url=place.url, sizes=SIZES, batches_at_once=2, poll_seconds=0.02, settle_seconds=0.0
    )
    (folder / "settings.json").write_bytes(msgspec.json.encode(settings))
    (folder / "in.jsonl").write_bytes(request_lines(folder))


def live(folder: Path, seconds: float = 60.0, **environment: str) -> int:
    """Let a campaign live for so long; how it ended."""
    words = [sys.executable, "-m", "tests.client.victim", str(folder)]
    process = subprocess.Popen(words, env=os.environ | environment)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def hold_to_account(folder: Path, place: Place) -> None:
    """Go on to the end: each input has its result, each batch is there once."""
    settings = msgspec.json.decode((folder / "settings.json").read_bytes(), type=Settings)
    campaign = Campaign.prepare(folder / "c", folder / "in.jsonl", settings, "key")
    assert campaign.run() == campaign.counts
    results: list[Any] = list(campaign.results())
    assert [one.custom_id for one in results] == [f"c{number}" for number in range(COUNT)]
    assert {one.outcome for one in results} == {"succeeded"}
    labels = place.labels(campaign.manifest.id)
    assert len(labels) == len(set(labels)) == BATCHES + place.rounds - 1
    assert sorted(place.asked().values()) == [1] * COUNT


@pytest.mark.parametrize("where", ["ours", "others"])
@pytest.mark.parametrize("point", CAMPAIGN_POINTS)
def test_killed_at_a_named_point_it_goes_on_and_submits_nothing_twice(
    point: str, where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Whether the server knows the Idempotency-Key or is asked what it has: the same holds."""
    place: Place = request.getfixturevalue(where)
    lay_out(tmp_path, place)
    assert live(tmp_path, BATCHYARD_FAULT=point) == -signal.SIGKILL
    hold_to_account(tmp_path, place)


@pytest.mark.parametrize(("case", "point"), RARE_POINTS)
def test_killed_where_few_campaigns_get_to_it_goes_on_all_the_same(
    case: str, point: str, tmp_path: Path
) -> None:
    """Between the files of a chunk that is split, while it waits, is refused or cancelled."""
    habits, outcome = RARE[case]
    stand_in = StandIn(Habits(**habits))
    lay_out(tmp_path, Others(stand_in, stand_in.habits))
    settings = msgspec.json.decode((tmp_path / "settings.json").read_bytes(), type=Settings)
    campaign = Campaign.prepare(tmp_path / "c", tmp_path / "in.jsonl", settings, "key")
    if case == "cancelled":
        campaign.run(until="submitted")
        campaign.cancel()
    assert live(tmp_path, BATCHYARD_FAULT=point) == -signal.SIGKILL
    counts = campaign.run()
    assert counts is not None
    assert sum(counts.values()) == len(list(campaign.results())) == COUNT
    assert counts[outcome] >= COUNT - 2 * (case == "cancelled")
    assert not stand_in.asked or set(stand_in.asked.values()) == {1}
    stand_in.close()


@pytest.mark.parametrize("where", ["ours", "others"])
def test_killed_again_and_again_it_comes_to_its_end(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """At the first, second and third time that it gets to a point, each where the last was."""
    place: Place = request.getfixturevalue(where)
    lay_out(tmp_path, place)
    chance = Random(where)
    for point in chance.sample(CAMPAIGN_POINTS, 4):
        live(tmp_path, BATCHYARD_FAULT=f"{point}:{chance.randint(1, 3)}")
    hold_to_account(tmp_path, place)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("where", ["ours", "others"])
def test_killed_at_random_it_goes_on_and_submits_nothing_twice(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """At any moment of its life, until it was killed as often as KILLS says."""
    place: Place = request.getfixturevalue(where)
    chance, killed, number = Random(f"{where} {KILLS}"), 0, 0
    while killed < KILLS:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        lay_out(folder, place)
        while live(folder, chance.uniform(0.2, LIFE_SECONDS)) == -signal.SIGKILL:
            killed += 1
        hold_to_account(folder, place)
        place.forget()
