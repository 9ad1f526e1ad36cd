"""Whose line is next."""

from collections import Counter
from typing import NamedTuple

import pytest

from batchyard.rules.schedule import deal, is_urgent


class Claim(NamedTuple):
    """A batch with lines that wait."""

    name: str
    project_id: str = "p"
    priority: int = 0
    urgent: bool = False
    expires_at: int = 100
    sequence: int = 0
    lines: int = 1_000
    out: int = 0


def counts(*claims: Claim, want: int) -> dict[str, int]:
    """How many of the next lines are whose."""
    return dict(Counter(claim.name for claim in deal(claims, want)))


def order(*claims: Claim, want: int) -> str:
    """Whose lines are next, one after the other."""
    return "".join(claim.name for claim in deal(claims, want))


def test_projects_share_equally_whatever_their_batches() -> None:
    """Eight batches of one project and one of another get half each."""
    many = [Claim(f"a{number}", sequence=number) for number in range(8)]
    dealt = deal([*many, Claim("b", project_id="q")], 160)
    assert Counter(claim.project_id for claim in dealt) == {"p": 80, "q": 80}
    assert set(Counter(claim.name for claim in dealt if claim.project_id == "p").values()) == {10}


def test_priority_counts_within_a_project_only() -> None:
    """It orders a project's own lines, and takes nothing from another project."""
    high, low, other = Claim("h", priority=100), Claim("l"), Claim("o", project_id="q")
    assert counts(high, low, other, want=100) == {"h": 50, "o": 50}
    assert counts(high._replace(lines=10), low, other, want=100) == {"h": 10, "l": 40, "o": 50}
    assert order(high._replace(lines=2), low, want=5) == "hhlll"


def test_what_is_in_the_lanes_counts() -> None:
    """A newcomer gets the next lines until it has as many there."""
    a, b = Claim("a", out=8), Claim("b", project_id="q")
    assert counts(a, b, want=8) == {"b": 8}
    assert counts(a, b, want=12) == {"a": 2, "b": 10}
    # A batch of which nothing waits has had its project's turns all the same.
    gone = Claim("g", out=8, lines=0)
    assert counts(gone, Claim("a", sequence=1), b, want=8) == {"b": 8}


def test_batches_of_one_priority_have_equal_turns() -> None:
    """None waits for the end of another; the one that is due first begins."""
    assert order(Claim("a", sequence=1), Claim("b", sequence=2), want=6) == "ababab"
    assert order(Claim("a"), Claim("b", expires_at=50), want=4) == "baba"
    assert order(Claim("a", lines=2), Claim("b", sequence=2), want=6) == "ababbb"


def test_an_urgent_batch_has_most_turns_and_starves_nobody() -> None:
    """Sixteen of seventeen."""
    urgent, other = Claim("u", urgent=True), Claim("o")
    assert counts(urgent, other, want=170) == {"u": 160, "o": 10}


def test_many_lines_are_dealt_as_fairly() -> None:
    """Several in one turn, so that it costs little."""
    many = [Claim(f"a{number}", sequence=number, lines=5_000) for number in range(3)]
    dealt = deal([*many, Claim("b", project_id="q", lines=5_000)], 8_000)
    told = Counter(claim.project_id for claim in dealt[:1_000])
    assert abs(told["p"] - told["q"]) <= 32
    assert len(dealt) == 8_000
    assert Counter(claim.project_id for claim in dealt)["q"] in range(3_984, 4_017)


def test_one_alone_gets_all() -> None:
    """As much as it has, or is wanted."""
    assert counts(Claim("a", lines=3), want=10) == {"a": 3}
    assert counts(Claim("a"), want=10) == {"a": 10}
    assert deal([], 10) == []


@pytest.mark.parametrize(
    ("lines", "seconds_left", "urgent"),
    [
        (15, 60.0, False),
        (15, 20.0, True),
        (480, 86_400.0, False),
        (480, 120.0, True),
        (1_000_000, 86_400.0, True),
        (1, 7.0, True),
        (1, -5.0, True),
    ],
)
def test_urgency_is_a_matter_of_lines_and_time(
    lines: int, seconds_left: float, urgent: bool
) -> None:
    """At four lines a second that take two seconds each."""
    told = is_urgent(lines, seconds_left, lines_per_second=4.0, answer_seconds=2.0)
    assert told is urgent
