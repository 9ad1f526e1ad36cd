"""Answers take as long as was asked for."""

import asyncio
import statistics

import pytest

from batchyard.sim import SimOptions
from batchyard.sim.latency import Latency, Pace
from tests.sim.asking import CHAT, ask, ask_chat, get, post
from tests.sim.conftest import Starting


@pytest.mark.parametrize(
    ("text", "latency"),
    [
        ("instant", Latency()),
        ("fixed:0.05", Latency("fixed", 0.05)),
        (" lognormal:2", Latency("lognormal", 2.0)),
        ("tokens:80", Latency("tokens", 80.0)),
        ("tokens:80:4", Latency("tokens", 80.0, 4)),
    ],
)
def test_latencies_are_read(text: str, latency: Latency) -> None:
    """Each kind has its form."""
    assert Latency.parse(text) == latency


@pytest.mark.parametrize(
    "text",
    [
        "",
        "slow",
        "instant:1",
        "fixed",
        "fixed:0",
        "fixed:-1",
        "fixed:nan",
        "fixed:inf",
        "fixed:1:1",
        "lognormal:x",
        "tokens",
        "tokens:0",
        "tokens:5:0",
        "tokens:5:1.5",
        "tokens:5:1:1",
    ],
)
def test_what_is_no_latency_is_refused(text: str) -> None:
    """The message shows all forms."""
    with pytest.raises(ValueError, match="lognormal:MEAN_SECONDS"):
        Latency.parse(text)


def test_lognormal_has_its_mean() -> None:
    """Many answers take the mean together, most of them less."""
    pace = Pace(Latency.parse("lognormal:0.5"))
    delays = [pace.delay_seconds(1, number << 40, 0.0) for number in range(20_000)]
    assert statistics.mean(delays) == pytest.approx(0.5, rel=0.05)
    assert statistics.median(delays) < 0.4
    assert max(delays) > 2


def test_tokens_wait_for_a_slot() -> None:
    """As many answers as there are slots are written at a time; later ones queue."""
    pace = Pace(Latency.parse("tokens:10:2"))
    delays = [pace.delay_seconds(tokens, 0, 100.0) for tokens in (10, 20, 10, 10)]
    assert delays == pytest.approx([1, 2, 2, 3])
    assert pace.delay_seconds(10, 0, 200.0) == pytest.approx(1)
    assert Pace(Latency.parse("tokens:10")).delay_seconds(20, 0, 5.0) == 2


async def test_answers_wait_side_by_side(starting: Starting) -> None:
    """Connections do not wait for each other, requests on one do."""
    running = await starting(SimOptions(latency=Latency.parse("fixed:0.1")))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(ask_chat(running) for _ in range(20)))
    together = loop.time() - began
    assert 0.1 <= together < 1
    assert running.stats["in_flight_max"] > 1
    began = loop.time()
    await ask(running, *[post("/v1/chat/completions", CHAT)] * 3)
    assert loop.time() - began >= 0.3


async def test_who_leaves_takes_no_answer_of_others(starting: Starting) -> None:
    """Of many that wait for the same moment some leave, and all others are answered."""
    running = await starting(SimOptions(latency=Latency.parse("fixed:0.3")))
    leaving = [asyncio.create_task(ask_chat(running)) for _ in range(10)]
    staying = [asyncio.create_task(ask_chat(running)) for _ in range(10)]
    while running.stats["in_flight"] < 20:
        await ask(running, get("/health"))
    for one in leaving:
        one.cancel()
    assert {seen.status for seen in await asyncio.gather(*staying)} == {200}
    await asyncio.wait(leaving)
    assert running.stats["answered"] == {"200": 10, "left": 10}


async def test_latency_changes_while_it_runs(starting: Starting) -> None:
    """A new latency holds from the next request on."""
    running = await starting(SimOptions(latency=Latency.parse("fixed:600")))
    (changed,) = await ask(running, post("/sim/latency", "instant"))
    (refused,) = await ask(running, post("/sim/latency", "soon"))
    assert (changed.status, refused.status) == (200, 400)
    assert (await ask_chat(running)).status == 200
