"""Outages of every kind burn no line, and a line's own fault holds up no other."""

from random import Random

import pytest

from tests.stories.loop import run_virtually
from tests.stories.outages import ALL_FAIL, OWN, Carried, Outage, Upstream, carry

LOSSLESS_SHARES = (0.1, 0.5, 0.95)


def told(
    outages: list[Outage],
    lines: int,
    *,
    width: int = 8,
    seed: int = 1,
    answer_seconds: float = 0.1,
    refused: dict[int, str] | None = None,
) -> Carried:
    """What became of so many lines, over one lane."""

    async def carrying() -> Carried:
        chance = Random(seed)
        upstream = Upstream(
            chance,
            outages,
            answer_seconds=answer_seconds,
            refused=(refused or {}).get,
        )
        return await carry([upstream], lines, chance=chance, width=width)

    return run_virtually(carrying())


def look_at_calls(carried: Carried) -> None:
    """What was answered twice was counted, and so was each call that was made."""
    (lane,), (upstream,) = carried.lanes, carried.upstreams
    twice = sum(times - 1 for times in upstream.answered.values() if times > 1)
    assert twice <= lane.surplus
    counted = sum(one.calls for one in carried.landed.values())
    assert counted == upstream.calls.total()


@pytest.mark.parametrize("kind", ALL_FAIL)
@pytest.mark.parametrize(("start", "seconds"), [(0.0, 5.0), (1.0, 60.0), (4.9, 18_000.0)])
def test_an_outage_burns_no_line(kind: str, start: float, seconds: float) -> None:
    """At the head, in the middle, or when few lines are left; for seconds or for hours."""
    carried = told([Outage(kind, start, seconds)], 400)
    assert carried.burnt == {}
    assert len(carried.landed) == 400
    late = carried.seconds - start - seconds
    # A probe finds the upstream back within a quarter minute, or minutes without credit.
    assert late < (400 if kind in ("402", "quota") else 120)
    look_at_calls(carried)


@pytest.mark.parametrize("kind", ["502", "reset", "silence", "404", "429"])
@pytest.mark.parametrize(("lines", "width"), [(1, 1), (3, 1), (20, 20), (6_000, 5_000)])
def test_an_outage_burns_no_line_however_many_are_in_flight(
    kind: str, lines: int, width: int
) -> None:
    """A single line, the last few, or a whole flight that comes back failed at once."""
    carried = told([Outage(kind, 0.05, 300.0)], lines, width=width, answer_seconds=0.2)
    assert carried.burnt == {}
    assert len(carried.landed) == lines
    (upstream,) = carried.upstreams
    # The whole flight once, then a probe at a time.
    assert upstream.calls.total() < 2 * lines + 2 * min(lines, width) + 150


@pytest.mark.parametrize("kind", ["500", "reset", "page"])
@pytest.mark.parametrize("share", LOSSLESS_SHARES)
@pytest.mark.parametrize("seed", range(3))
def test_a_slow_death_burns_no_line(kind: str, share: float, seed: int) -> None:
    """Calls that fail by chance, few or nearly all, are no line's own."""
    carried = told([Outage(kind, 1.0, share=share)], 200, seed=seed)
    assert carried.burnt == {}
    assert len(carried.landed) == 200
    look_at_calls(carried)


@pytest.mark.parametrize("up_seconds", [0.5, 5.0, 60.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_flapping_upstream_burns_no_line(up_seconds: float, seed: int) -> None:
    """As often as it comes and goes, what fails with all others is not the line's own."""
    chance = Random(seed)
    outages = [
        Outage(chance.choice(("502", "503", "reset")), at * 2 * up_seconds, up_seconds)
        for at in range(400)
    ]
    carried = told(outages, 1_000, seed=seed)
    assert carried.burnt == {}
    assert len(carried.landed) == 1_000


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("width", [1, 8, 64])
@pytest.mark.parametrize("place", ["head", "tail", "tenth"])
def test_what_a_line_is_refused_for_itself_stops_no_other(
    kind: str, width: int, place: str
) -> None:
    """Sixty at the head, sixty at the tail, or each tenth: they end, and only they."""
    own = {"head": range(60), "tail": range(40, 100), "tenth": range(0, 300, 10)}[place]
    lines = 300 if place == "tenth" else 100
    carried = told([], lines, width=width, refused=dict.fromkeys(own, kind))
    assert set(carried.burnt) == set(own)
    assert len(carried.landed) == lines
    # It takes no longer than the answers do, and some tries with their waits.
    assert carried.seconds < lines * 0.1 / width + 150
    look_at_calls(carried)


def test_a_line_in_ten_that_always_fails_does_not_narrow_the_lane() -> None:
    """Once it is seen that those lines fail again, their failures are no sign of overload."""
    own = dict.fromkeys(range(0, 5_000, 10), "500")
    failing, refused = (
        told([], 5_000, width=64, refused=dict.fromkeys(own, kind)) for kind in ("500", "400")
    )
    assert set(failing.burnt) == set(refused.burnt) == set(own)
    assert failing.seconds < refused.seconds + 20


def test_what_fails_for_itself_during_an_outage_ends_after_it() -> None:
    """The outage counts against nobody, neither for the good lines nor for the bad."""
    own = dict.fromkeys(range(0, 200, 20), "500")
    carried = told([Outage("502", 1.0, 600.0)], 200, refused=own)
    assert set(carried.burnt) == set(own)
    assert all(one.answer and one.answer.status == 500 for one in carried.burnt.values())


@pytest.mark.parametrize(("kind", "seconds"), [("500", 2_000), ("403", 2_000), ("garbage", 10)])
def test_a_line_that_is_alone_ends_before_its_time(kind: str, seconds: float) -> None:
    """Where nothing else can tell, an upstream that lists its models is believed to work."""
    carried = told([], 1, refused={0: kind})
    assert set(carried.burnt) == {0}
    assert carried.seconds < seconds
    assert carried.reasons


def test_a_lane_that_recovers_is_not_flooded() -> None:
    """It begins with two lines and widens with each answer."""

    async def carrying() -> int:
        chance = Random(1)
        upstream = Upstream(chance, [Outage("503", 0.0, 20.0)], answer_seconds=5.0)
        await carry([upstream], 300, chance=chance, width=256, patience_seconds=26.0)
        # The first flight was refused at once.
        return upstream.calls.total() - 256

    probes_and_first_answers = run_virtually(carrying())
    assert probes_and_first_answers < 60


def test_credit_that_is_gone_is_asked_for_rarely() -> None:
    """Once in half a minute at most, and less often later; the reason says what came."""
    carried = told([Outage("quota", 0.0, 3_600.0)], 50)
    assert carried.burnt == {}
    (upstream,) = carried.upstreams
    assert upstream.calls.total() < 50 + 60
    assert any("upstream_out_of_credit: HTTP 429" in reason for reason in carried.reasons)
    assert any("You exceeded your current quota" in reason for reason in carried.reasons)
